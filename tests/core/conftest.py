"""The toy recipe, and helpers to look at what its runs leave behind."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy

from jaxgan.core import devices
from jaxgan.core.checkpoint import Checkpoints


@pytest.fixture
def config():
    return toy.get_config()


@pytest.fixture(scope="session")
def recipe():
    """One toy for all tests on one device: it holds no state, and compiles once."""
    return toy.Toy(toy.get_config(), devices.make_mesh(1))


@pytest.fixture(scope="session")
def restore(recipe):
    """What the last checkpoint of a folder holds: (state, history, position)."""

    def read(workdir):
        checkpoints = Checkpoints(workdir)
        try:
            state, history, position = checkpoints.restore(recipe.init(jax.random.key(0)))
        finally:
            checkpoints.close()
        return state, [dict(record) for record in history], position

    return read


@pytest.fixture(scope="session")
def assert_same():
    """Bit-for-bit equality of two pytrees."""

    def raw(leaf):
        is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    def check(one, other):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(raw(left), raw(right), strict=True)

    return check
