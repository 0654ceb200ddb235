"""The last hidden layer of a discriminator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.networks import pair

SAMPLES = jax.random.normal(jax.random.key(1), (6, 8, 8, 1))
NETWORKS = {
    "mlp": ({"widths": (5, 7)}, 7),
    "dcgan": ({"features": 3}, 4 * 4 * 3),
    "spectral": ({"features": 3, "normalisation": "none", "spectral": True, "outputs": 2}, 48),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_dense_layer_makes_the_outputs_of_the_features(name):
    attributes, width = NETWORKS[name]
    network = pair.DISCRIMINATORS["mlp" if name == "mlp" else "dcgan"](**attributes)
    variables = jax.jit(network.init)(jax.random.key(0), SAMPLES)
    look = jax.jit(lambda variables, x: pair.with_features(network, variables, x))
    outputs, features = look(variables, SAMPLES)
    assert features.shape == (6, width)
    plain = jax.jit(lambda variables, x: network.apply(variables, x, train=False))
    np.testing.assert_allclose(outputs, plain(variables, SAMPLES), atol=1e-6)
    last = variables["params"]
    last = last["MLP_0"]["Dense_2"] if name == "mlp" else last["Dense_0"]
    made = (features @ last["kernel"]).reshape(outputs.shape)
    if name == "spectral":  # which divides the kernel
        made = made * jnp.ravel(outputs)[0] / jnp.ravel(made)[0]
    np.testing.assert_allclose(outputs, made, atol=1e-5)
    assert jnp.ptp(features, axis=0).max() > 1e-3
