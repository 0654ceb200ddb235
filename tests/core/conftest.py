"""The toy recipe, one uninterrupted run of it, and helpers that read what a run leaves."""

import contextlib
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy

from jaxgan.core import devices, log, loop
from jaxgan.core.checkpoint import Checkpoints


@pytest.fixture(scope="session")
def recipe():
    """One toy for all tests on one device: it holds no state, and compiles once."""
    return toy.Toy(toy.get_config(), devices.make_mesh(1))


@pytest.fixture(scope="session")
def uninterrupted(recipe, tmp_path_factory):
    """The folder of a run of 4 rounds that was never stopped."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    loop.run(recipe, toy.get_config(), workdir)
    return workdir


@pytest.fixture(scope="session")
def restore(recipe):
    """A function that returns what the last checkpoint holds: (state, history, position)."""
    fresh = recipe.init(jax.random.key(0))

    def read(workdir):
        with contextlib.closing(Checkpoints(workdir)) as checkpoints:
            state, history, position = checkpoints.restore(fresh)
            return state, [dict(record) for record in history], position

    return read


@pytest.fixture(scope="session")
def numbers():
    """A function that returns the rows of metrics.jsonl without the values that a clock gives."""
    clocks = ("wall_seconds", "time/", "throughput/", "compilations")

    def read(workdir):
        return [
            {name: value for name, value in row.items() if not name.startswith(clocks)}
            for row in log.read(workdir)
        ]

    return read


@pytest.fixture(scope="session")
def assert_same():
    """A function that asserts that two pytrees are equal bit for bit."""

    def raw(leaf):
        is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    def check(one, other):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(raw(left), raw(right), strict=True)

    return check
