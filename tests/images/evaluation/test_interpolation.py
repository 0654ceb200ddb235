"""Samplers whose codes are exchanged, and paths that keep what is asked for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.core.state import Player
from jaxgan.images.evaluation.interpolation import interpolate, with_codes


class Grey(nn.Module):
    """Makes images of one grey: the mean of the latent code, and the class in a corner."""

    @nn.compact
    def __call__(self, codes, train=True):
        scale = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.ones)(codes[:, :2])
        images = jnp.broadcast_to(jnp.tanh(scale[..., None, None]), (len(codes), 2, 2, 1))
        return images.at[:, 0, 0, 0].set(codes[:, 2])


PLAYER = Player(Grey().init(jax.random.key(0), jnp.zeros((1, 3)))["params"], {}, ())


def sample(player, key, labels):
    codes = jax.random.normal(key, (len(labels), 2))
    joined = jnp.concatenate([codes, labels[:, None].astype(jnp.float32)], axis=-1)
    return Grey().apply(player.variables, joined, train=False)


def test_the_codes_of_a_sampler_are_read_and_exchanged():
    labels = jnp.array([0, 1, 1])
    samples, codes = with_codes(sample, PLAYER, jax.random.key(1), labels)
    np.testing.assert_array_equal(samples, sample(PLAYER, jax.random.key(1), labels))
    np.testing.assert_array_equal(codes[:, 2], labels)
    again, same = with_codes(sample, PLAYER, jax.random.key(2), labels, codes)
    np.testing.assert_array_equal(again, samples)
    np.testing.assert_array_equal(same, codes)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_row_keeps_its_class_and_goes_from_end_to_end(prior):
    labels = np.array([0, 1], np.int32)
    mesh = devices.make_mesh(1)
    player = devices.put_replicated(PLAYER, mesh)
    grid = interpolate(sample, player, labels, 4, seed=3, latent=2, prior=prior, mesh=mesh)
    assert grid.shape == (2 * 2 + 2, 4 * 2 + 3 * 2, 3)
    np.testing.assert_array_equal(grid[0, ::4, 0], np.full(4, 128))
    np.testing.assert_array_equal(grid[4, ::4, 0], np.full(4, 255))
    ends = sample(PLAYER, jax.random.key(3), jnp.tile(labels, 2))[:, 1, 1, 0]
    expected = np.rint((np.asarray(ends) + 1) / 2 * 255)
    np.testing.assert_allclose(grid[[1, 5], 1, 0], expected[:2], atol=1)
    np.testing.assert_allclose(grid[[1, 5], -1, 0], expected[2:], atol=1)
