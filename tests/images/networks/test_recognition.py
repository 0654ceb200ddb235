"""InfoGAN's networks: what D and Q share, and what is Q's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import infogan
from jaxgan.images.networks import recognition

IMAGES = jnp.linspace(-1, 1, 4 * 64).reshape(4, 8, 8, 1)


def make_discriminator(normalisation="batch"):
    config = infogan.get_config()
    config.generator.features = config.discriminator.features = 2
    config.discriminator.shared, config.discriminator.recognition = 6, 5
    config.discriminator.normalisation = normalisation
    return recognition.make_networks(config, (8, 8, 1), guesses=3).discriminator


def test_q_has_a_hidden_layer_of_its_own_which_does_not_change_d():
    discriminator = make_discriminator()
    variables = jax.jit(discriminator.init)(jax.random.key(1), IMAGES)
    kernels = {
        name: part["kernel"].shape
        for name, part in variables["params"].items()
        if name.startswith("Dense")
    }
    assert sorted(kernels.values()) == [(5, 3), (6, 1), (6, 5)]
    of_q = next(name for name, shape in kernels.items() if shape == (6, 5))
    answers = jax.jit(functools.partial(discriminator.apply, train=False))
    params = dict(variables["params"])
    params[of_q] = jax.tree.map(lambda value: value + 1, params[of_q])
    before = answers(variables, IMAGES)
    changed = answers({**variables, "params": params}, IMAGES)
    np.testing.assert_array_equal(changed[:, 0], before[:, 0])
    assert (changed[:, 1:] != before[:, 1:]).all()


@pytest.mark.parametrize("normalisation", ["batch", "layer", "none"])
def test_d_answers_before_q_with_every_normalisation(normalisation):
    made, _ = jax.eval_shape(
        make_discriminator(normalisation).init_with_output, jax.random.key(0), IMAGES
    )
    assert (made.shape, made.dtype) == ((4, 1 + 3), jnp.float32)


def test_the_sizes_are_those_of_the_authors_code():
    config = infogan.get_config()
    assert (config.discriminator.shared, config.discriminator.recognition) == (1024, 128)
