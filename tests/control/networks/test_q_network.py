import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.networks.q_network import QNetwork, scale_gradient

OBSERVATIONS = jax.random.normal(jax.random.key(0), (5, 4))


DUELING = QNetwork(3, (16, 8), dueling=True)


@functools.cache
def made(network):
    return jax.jit(network.init)(jax.random.key(1), OBSERVATIONS)["params"]


def shapes_of(network):
    return jax.eval_shape(network.init, jax.random.key(1), OBSERVATIONS)["params"]


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_default_network_is_cleanrls():
    params = shapes_of(QNetwork(2, (120, 84)))
    assert count(params) == 4 * 120 + 120 + 120 * 84 + 84 + 84 * 2 + 2
    assert [params[f"Dense_{n}"]["kernel"].shape for n in range(3)] == [
        (4, 120),
        (120, 84),
        (84, 2),
    ]


def test_a_dueling_network_doubles_its_last_hidden_layer():
    params = shapes_of(DUELING)
    shapes = [params[f"Dense_{n}"]["kernel"].shape for n in range(5)]
    assert shapes == [(4, 16), (16, 8), (16, 8), (8, 1), (8, 3)]


def forward(params, observations, factor):
    """The dueling network of the paper, with the gradient into the shared layer scaled."""

    def layer(values, number):
        return values @ params[f"Dense_{number}"]["kernel"] + params[f"Dense_{number}"]["bias"]

    shared = jax.nn.relu(layer(observations, 0))
    shared = factor * shared + (1 - factor) * jax.lax.stop_gradient(shared)
    value = layer(jax.nn.relu(layer(shared, 1)), 3)
    advantages = layer(jax.nn.relu(layer(shared, 2)), 4)
    return value + advantages - advantages.mean(axis=1, keepdims=True)


def test_dueling_values_and_gradients_are_the_papers():
    network, params = DUELING, made(DUELING)
    weights = jax.random.normal(jax.random.key(2), (5, 3))

    def ours(params):
        return jnp.sum(weights * network.apply({"params": params}, OBSERVATIONS))

    value, gradient = jax.jit(jax.value_and_grad(ours))(params)
    expected, unscaled = jax.jit(
        jax.value_and_grad(lambda params: jnp.sum(weights * forward(params, OBSERVATIONS, 1.0)))
    )(params)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    for layer, found in gradient.items():
        factor = 2**-0.5 if layer == "Dense_0" else 1.0
        for name, leaf in found.items():
            np.testing.assert_allclose(leaf, factor * unscaled[layer][name], rtol=1e-4, atol=1e-5)


def test_a_constant_added_to_all_advantages_changes_nothing():
    network, params = DUELING, copy.deepcopy(made(DUELING))
    before = network.apply({"params": params}, OBSERVATIONS)
    params["Dense_4"]["bias"] += 7.0
    after = network.apply({"params": params}, OBSERVATIONS)
    np.testing.assert_allclose(before, after, atol=1e-5)
    only_value = network.apply({"params": params}, OBSERVATIONS).mean(axis=1)
    params["Dense_3"]["bias"] += 2.0
    np.testing.assert_allclose(
        network.apply({"params": params}, OBSERVATIONS).mean(axis=1), only_value + 2, atol=1e-5
    )


def test_a_scaled_gradient_keeps_the_value():
    value, gradient = jax.value_and_grad(lambda x: scale_gradient(x, 0.25) ** 2)(3.0)
    assert (float(value), float(gradient)) == (9.0, 1.5)


def test_bfloat16_is_near_float32():
    network, params = DUELING, {"params": made(DUELING)}
    narrow = QNetwork(3, (16, 8), dueling=True, dtype=jnp.bfloat16)
    half = jax.jit(narrow.apply)(params, OBSERVATIONS)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, network.apply(params, OBSERVATIONS), atol=0.05)
