"""How layers are blended, the losses by hand, and layers that a toy separates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import composite as composite_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.networks import layered, pair
from jaxgan.images.systems import composite
from jaxgan.recipes import make

SHAPE = (4, 4, 3)


def tiny_system(**values):
    config = composite_config.get_config("tiny")
    config.update(values)
    networks = composite.make_networks(config, SHAPE)
    optimizers = pair.make_optimizers(config)
    weights = config.cover, config.cover_weight, config.binary_weight
    system = composite.System(networks, optimizers, *weights, config.average_decay)
    state = jax.jit(pair.initial(networks, optimizers, config.average_decay))(jax.random.key(0))
    return system, state


def test_an_opaque_layer_covers_those_before_it():
    colours = np.random.default_rng(0).uniform(-1, 1, (5, 3, *SHAPE)).astype(np.float32)
    opacities = np.zeros((5, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(layered.blend(colours, opacities), np.full((5, *SHAPE), -1))
    opacities[:, 1] = 1
    np.testing.assert_array_equal(layered.blend(colours, opacities), colours[:, 1])
    opacities[:, 2] = 0.25
    expected = 0.75 * colours[:, 1] + 0.25 * colours[:, 2]
    np.testing.assert_allclose(layered.blend(colours, opacities), expected, atol=1e-6)


def test_a_layer_depends_on_its_own_code_and_on_those_before_it():
    network = layered.fully_connected(SHAPE, jnp.float32, (8,), layers=3, width=5)
    codes = jax.random.normal(jax.random.key(1), (1, 6))
    variables = jax.jit(network.init)(jax.random.key(0), codes)
    call = jax.jit(network.apply)
    before, after = call(variables, codes), call(variables, codes.at[0, 2].add(1))
    changed = np.abs(before.colours - after.colours).max(axis=(0, 2, 3, 4)) > 1e-6
    np.testing.assert_array_equal(changed, [False, True, True])
    assert sorted(variables["params"])[1:] == [f"generators_{layer}" for layer in range(3)]
    blended = layered.blend(before.colours, before.opacities)
    np.testing.assert_allclose(before.images, blended, atol=1e-6)


def test_the_terms_of_the_opacities_by_hand():
    opacities = np.full((2, 3, 4, 4), 1.0, np.float32)
    opacities[:, 1] = 0.5
    opacities[0, 2, :2] = 0
    cover, binary = composite.opacity_terms(opacities, 0.25)
    # The means of the upper two layers are 0.5 and 0.5, and 0.5 and 1.
    assert cover == pytest.approx((0.25 + 0.25 + 0.25 + 0.75) / 4)
    assert binary == pytest.approx((0 + 0.25) / 2)


def test_the_losses_of_both_steps_by_hand():
    system, state = tiny_system(cover_weight=2.0, binary_weight=3.0)
    real = jax.random.uniform(jax.random.key(1), (8, *SHAPE), minval=-1)

    @jax.jit
    def outputs(state):
        made, _ = pair.generate(system.networks, state.players["generator"], step_key(state), 8)
        player = state.players["discriminator"]
        return pair.judge(system.networks, player, real, made.images)[0], made.opacities

    (on_real, on_fake), _ = outputs(state)
    by_hand = np.mean(np.log1p(np.exp(-on_real))) + np.mean(np.log1p(np.exp(on_fake)))
    move = jax.jit(functools.partial(composite.discriminator_step, system=system))
    moved, metrics = move(state, real)
    assert float(metrics["d_loss"]) == pytest.approx(by_hand, rel=1e-5)
    (_, on_fake), opacities = outputs(moved)
    move = jax.jit(functools.partial(composite.generator_step, count=8, system=system))
    _, metrics = move(moved)
    assert float(metrics["g_loss"]) == pytest.approx(np.mean(np.log1p(np.exp(-on_fake))), rel=1e-5)
    upper = np.asarray(opacities, np.float64)[:, 1]
    cover = np.mean(np.abs(system.cover - upper.mean(axis=(1, 2))))
    assert float(metrics["cover"]) == pytest.approx(cover, rel=1e-5)
    assert float(metrics["binary"]) == pytest.approx(np.mean((upper - 0.5) ** 2), rel=1e-5)


def test_the_weights_move_opacities_to_the_wanted_share_and_to_0_or_1():
    found = {}
    for cover in (0.2, 0.8):
        rates = {"generator_learning_rate": 1e-2}
        system, state = tiny_system(cover=cover, cover_weight=50.0, binary_weight=50.0, **rates)
        move = jax.jit(functools.partial(composite.generator_step, count=16, system=system))
        for _ in range(60):
            state, metrics = move(state)
        found[cover] = float(metrics["cover"])
        assert metrics["binary"] > 0.15
    assert max(found.values()) < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 5}, r"config\.latent=5: must be a multiple of config\.generator\.layers=2"),
        ({"data.kind": "ring"}, r"config\.data\.kind=ring: only images have layers"),
        ({"generator.layers": 1}, r"config\.generator\.layers=1: must be 2 or more"),
        ({"cover": 1.5}, r"config\.cover=1\.5"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = composite_config.get_config("tiny")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
