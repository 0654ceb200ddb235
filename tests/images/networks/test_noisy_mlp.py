"""The networks of Salimans et al. for digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.images.networks import noisy_mlp

KEY, NOISE = jax.random.key(0), {"noise": jax.random.key(1)}


def normal(*shape):
    return np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)


@pytest.mark.parametrize("trained", [True, False])
def test_the_first_batch_normalises_a_layer_and_only_directions_matter(trained):
    layer, x = noisy_mlp.WeightNormDense(6, trained), normal(500, 4)
    y, variables = layer.init_with_output(KEY, x)
    np.testing.assert_allclose(np.mean(y, 0), 0, atol=1e-4)
    np.testing.assert_allclose(np.std(y, 0), 1, atol=1e-4)
    assert ("length" in variables["params"]) == trained
    params = variables["params"] | {"direction": 3 * variables["params"]["direction"]}
    np.testing.assert_allclose(layer.apply(variables | {"params": params}, x), y, atol=1e-4)
    by_hand = np.asarray(variables["params"]["direction"], np.float64)
    by_hand = x @ (by_hand / np.linalg.norm(by_hand, axis=0))
    lengths = (variables["params"] if trained else variables["lengths"])["length"]
    expected = by_hand * lengths + variables["params"]["offset"]
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_noise_is_added_in_training_only_and_images_start_at_0():
    network = noisy_mlp.NoisyMLP((8,), 3, input_noise=0.3, noise=0.5)
    x = np.tanh(normal(20, 4, 4, 1))
    variables = network.init(KEY, x, train=False)
    quiet = network.apply(variables, x, train=False)
    assert [part.shape for part in quiet] == [(20, 3), (20, 8)]
    one, same, other = (
        network.apply(variables, x, rngs={"noise": jax.random.key(seed)})[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    params, lengths = variables["params"], variables["lengths"]["WeightNormDense_0"]["length"]
    layer = params["WeightNormDense_0"]
    unit = layer["direction"] / jnp.linalg.norm(layer["direction"], axis=0)
    hidden = ((x + 1) / 2).reshape(20, 16) @ unit * lengths + layer["offset"]
    np.testing.assert_allclose(quiet[1], np.maximum(hidden, 0), atol=1e-4)


def test_minibatch_discrimination_looks_at_the_other_samples():
    x = normal(6, 2)
    changed = x.copy()
    changed[1:] *= 2
    for kernels, differs in ((0, False), (4, True)):
        network = noisy_mlp.NoisyMLP((8,), 3, kernels=kernels)
        variables = network.init(KEY, x, train=False)
        one, other = (network.apply(variables, y, train=False)[0][0] for y in (x, changed))
        assert bool(np.abs(one - other).max() > 1e-3) == differs


@pytest.mark.parametrize(("reference", "differs"), [(0, True), (5, False)])
def test_virtual_batch_normalisation_makes_samples_independent(reference, differs):
    network = noisy_mlp.SoftplusGenerator((8, 8), (3, 3, 1), reference)
    z = normal(4, 6)
    variables = network.init(KEY, z)
    if reference:
        variables = variables | {"reference": {"codes": normal(reference, 6)}}
    changed = z.copy()
    changed[1:] += 1
    one, other = (network.apply(variables, y, mutable=["batch_stats"])[0] for y in (z, changed))
    assert one.shape == (4, 3, 3, 1)
    assert np.abs(one).max() <= 1
    assert bool(np.abs(one[0] - other[0]).max() > 1e-3) == differs


def test_a_condition_changes_both_networks():
    generator = noisy_mlp.SoftplusGenerator((8,), (2,))
    network = noisy_mlp.NoisyMLP((8,), 3)
    z, classes = normal(4, 2), np.eye(4, dtype=np.float32)
    for module in (generator, network):
        variables = module.init(KEY, z, train=False, condition=classes)
        one, other = (
            jax.tree.leaves(module.apply(variables, z, train=False, condition=y))[0]
            for y in (classes, classes[::-1])
        )
        assert np.abs(one - other).max() > 1e-3
