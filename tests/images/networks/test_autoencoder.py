"""Autoencoders: shapes, where the features grow, and what the code carries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.networks import autoencoder


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (autoencoder.MLPAutoencoder((5,), code=3), (2,)),
        (autoencoder.MLPAutoencoder((5, 4), code=3), (6, 6, 1)),
        (autoencoder.DCGANAutoencoder(features=2, code=3), (12, 12, 3)),
        (autoencoder.Autoencoder(features=2, code=3), (10, 10, 1)),
    ],
)
def test_reconstructions_have_the_shape_of_the_input(network, shape):
    x = jnp.zeros((4, *shape))
    (made, codes), variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert made.shape == x.shape
    assert codes.shape == (4, 3)
    assert made.dtype == codes.dtype == jnp.float32
    assert variables["params"]


def test_began_has_the_papers_features():
    """n, 2n and 3n in the encoder at 32, 16 and 8; n in the decoder; ten and seven convolutions."""
    network = autoencoder.Autoencoder(features=7, code=5)
    found = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    widths = [found[f"Conv_{layer}"]["kernel"].shape[-1] for layer in range(9)]
    assert widths == [7, 7, 7, 14, 14, 14, 21, 21, 21]
    assert found["Dense_0"]["kernel"].shape == (8 * 8 * 21, 5)
    decoder = found["Decoder_0"]
    widths = [decoder[f"Conv_{layer}"]["kernel"].shape[-1] for layer in range(7)]
    assert widths == [7, 7, 7, 7, 7, 7, 3]
    assert decoder["Dense_0"]["kernel"].shape == (5, 8 * 8 * 7)


def test_the_reconstruction_knows_the_input_only_by_its_code():
    network = autoencoder.MLPAutoencoder((8,), code=2)

    @jax.jit
    def jacobian(x):
        variables = network.init(jax.random.key(1), x)
        return jax.jacobian(lambda x: network.apply(variables, x)[0].ravel())(x)

    found = jacobian(jax.random.normal(jax.random.key(0), (1, 4, 4, 1)))
    singular = np.linalg.svd(np.asarray(found).reshape(16, 16), compute_uv=False)
    assert singular[1] > 1e-3
    assert singular[2] < 1e-5
