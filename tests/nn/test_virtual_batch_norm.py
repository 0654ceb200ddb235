"""Virtual batch normalisation by hand."""

import jax
import numpy as np
import pytest

from jaxgan.nn.virtual_batch_norm import VirtualBatchNorm


@pytest.mark.parametrize("inner", [(), (6,), (2, 3)])
def test_virtual_batch_norm_by_hand(inner):
    x = np.random.default_rng(1).normal(2, 3, (5, *inner, 2)).astype(np.float32)
    module = VirtualBatchNorm()
    made, _ = module.init_with_output(jax.random.key(0), x, 3)
    rows = x.reshape(5, -1, 2).astype(np.float64)
    mean, square = rows[:3].mean((0, 1)), (rows[:3] ** 2).mean((0, 1))
    expected = [(row - mean) / np.sqrt(square - mean**2 + 1e-5) for row in rows[:3]]
    for row in rows[3:]:
        own, own_square = row.mean(0) / 4 + mean * 0.75, (row**2).mean(0) / 4 + square * 0.75
        expected.append((row - own) / np.sqrt(own_square - own**2 + 1e-5))
    np.testing.assert_allclose(made, np.reshape(expected, x.shape), atol=1e-4)


def test_other_examples_have_no_influence():
    x = np.random.default_rng(1).normal(2, 3, (6, 2)).astype(np.float32)
    module = VirtualBatchNorm()
    made, variables = module.init_with_output(jax.random.key(0), x, 3)
    x[4:] *= 5
    np.testing.assert_array_equal(module.apply(variables, x, 3)[:4], made[:4])
