"""WGAN with gradient penalty: losses and slopes by hand, and what the penalty does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import wgan_gp as wgan_gp_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.networks import pair
from jaxgan.images.systems import wgan_gp
from jaxgan.recipes import make

DATA = Resident(2 + jax.random.normal(jax.random.key(9), (64, 2)), jnp.zeros(64, jnp.int32))
ROWS = jnp.arange(128, dtype=jnp.int32).reshape(2, 64) % 64


def tiny_system(**values):
    config = wgan_gp_config.get_config("tiny")
    config.update(values)
    networks = pair.make_networks(config, (2,))
    optimizers = pair.make_optimizers(config)
    system = wgan_gp.System(networks, optimizers, config.gradient_penalty, config.average_decay)
    init = jax.jit(pair.initial(networks, optimizers, config.average_decay))
    return system, init(jax.random.key(0))


def critic(params, x):
    """The critic and its gradient in float64: one hidden layer of LeakyReLUs."""
    first, second = (params["MLP_0"][f"Dense_{layer}"] for layer in (0, 1))
    kernels = [np.asarray(layer["kernel"], np.float64) for layer in (first, second)]
    hidden = np.asarray(x, np.float64) @ kernels[0] + np.asarray(first["bias"], np.float64)
    slope = np.where(hidden > 0, 1, 0.2)
    output = (slope * hidden) @ kernels[1][:, 0] + np.float64(second["bias"][0])
    return output, (slope * kernels[1][:, 0]) @ kernels[0].T


def test_the_losses_and_the_slope_by_hand():
    system, state = tiny_system()

    @jax.jit
    def play(state):
        moved, _ = wgan_gp.critic_step(state, ROWS[0], DATA, system=system)
        fakes = []
        last, _ = wgan_gp.critic_step(moved, ROWS[1], DATA, system=system)
        for at in (moved, last):
            key = step_key(at, wgan_gp.CODES)
            fakes.append(pair.generate(system.networks, at.players["generator"], key, 64)[0])
        share = jax.random.uniform(step_key(moved, wgan_gp.BETWEEN), (64, 1))
        return moved, last, fakes, share, wgan_gp.step(state, ROWS, DATA, system=system)

    moved, last, (fake, next_fake), share, (after, metrics) = jax.device_get(play(state))
    real, params = np.asarray(DATA.values), moved.players["discriminator"].params
    expected = critic(params, fake)[0].mean() - critic(params, real)[0].mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    norms = np.linalg.norm(critic(params, share * real + (1 - share) * fake)[1], axis=1)
    assert float(metrics["slope"]) == pytest.approx(norms.mean(), rel=1e-4)
    expected = -critic(last.players["discriminator"].params, next_fake)[0].mean()
    assert float(metrics["g_loss"]) == pytest.approx(expected, rel=1e-4)
    assert after.step == 3


def train_critic(penalty):
    system, state = tiny_system(gradient_penalty=penalty, discriminator_learning_rate=0.01)

    @jax.jit
    def train(state):
        move = functools.partial(wgan_gp.critic_step, data=DATA, system=system)
        return jax.lax.scan(move, state, jnp.tile(ROWS, (150, 1)))[1]

    return {name: values[-50:].mean() for name, values in jax.device_get(train(state)).items()}


def test_the_penalty_brings_the_slope_to_one_and_the_estimate_to_the_distance():
    """Real points are around (2, 2); an untrained generator's are near 0. W1 is close to 2.8."""
    found = train_critic(10.0)
    assert 0.8 < found["slope"] < 1.2
    assert -found["d_loss"] == pytest.approx(2.8, abs=0.6)
    assert train_critic(0.0)["slope"] > 3


def test_a_sample_of_a_critic_with_layer_normalisation_has_its_own_gradient():
    config = wgan_gp_config.get_config()
    config.generator.features = config.discriminator.features = 2
    networks = pair.make_networks(config, (8, 8, 1))
    init = pair.initial(networks, pair.make_optimizers(config), 0.0)
    player = jax.jit(init)(jax.random.key(0)).players["discriminator"]
    real, fake = jax.random.normal(jax.random.key(1), (2, 3, 8, 8, 1))
    norms = jax.jit(functools.partial(wgan_gp.slopes, networks))
    one, two = (
        np.asarray(norms(player, images, fake, jax.random.key(2)))
        for images in (real, real.at[1:].multiply(3))
    )
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert one[1] != pytest.approx(two[1], rel=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": "dcgan", "discriminator": {"normalisation": "batch"}},
            "config.discriminator.normalisation=batch: the gradient penalty",
        ),
        ({"gradient_penalty": -1.0}, "config.gradient_penalty=-1.0: must be 0 or more"),
        ({"critic_steps": 0}, "config.critic_steps=0: must be 1 or more"),
        ({"adam_b1": 2.0}, "config.adam_b1=2.0"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = wgan_gp_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
