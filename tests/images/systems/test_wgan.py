"""The Wasserstein GAN: its losses by hand, the clip, longer training, and a distance it learns."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import wgan as wgan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.networks import pair
from jaxgan.images.systems import wgan
from jaxgan.recipes import make

DATA = Resident(jax.random.normal(jax.random.key(9), (64, 2)), jnp.zeros(64, jnp.int32))
ROWS = jnp.arange(16, dtype=jnp.int32).reshape(2, 8)


def tiny_system(more=0, **values):
    config = wgan_config.get_config("tiny")
    config.update(values)
    networks = pair.make_networks(config, (2,))
    optimizers = pair.make_rmsprop(config)
    system = wgan.System(networks, optimizers, config.clip, more, config.average_decay)
    memory = {"generator_updates": jnp.zeros((), jnp.int32)}
    init = jax.jit(pair.initial(networks, optimizers, config.average_decay, memory=memory))
    return system, init(jax.random.key(0))


def test_the_losses_of_both_players_by_hand():
    system, state = tiny_system(clip=0.3, discriminator_learning_rate=0.01)

    def outputs(state, rows):
        key = step_key(state, wgan.CODES)
        fake, _ = pair.generate(system.networks, state.players["generator"], key, 8)
        return pair.judge(system.networks, state.players["discriminator"], DATA.values[rows], fake)

    @jax.jit
    def play(state):
        one, _ = wgan.critic_step(state, ROWS[0], DATA, system=system)
        two, _ = wgan.critic_step(one, ROWS[1], DATA, system=system)
        seen = [outputs(state, rows)[0] for state, rows in ((one, ROWS[1]), (two, ROWS[1]))]
        return seen, wgan.step(state, ROWS, DATA, system=system)

    ((on_real, on_fake), (_, next_fake)), (after, metrics) = jax.device_get(play(state))
    # The last update of the critic starts where the first one ended.
    assert float(metrics["d_loss"]) == pytest.approx(on_fake.mean() - on_real.mean(), rel=1e-4)
    assert float(metrics["g_loss"]) == pytest.approx(-next_fake.mean(), rel=1e-4)
    assert after.step == 3
    # The critic is clipped; the generator is not.
    largest = {
        name: max(np.abs(leaf).max() for leaf in jax.tree.leaves(player.params))
        for name, player in after.players.items()
    }
    assert largest["discriminator"] == pytest.approx(0.3)
    assert largest["generator"] > 0.35


def test_the_critic_is_trained_longer_at_the_start_and_at_every_500th_update():
    system, state = tiny_system(more=4)
    step = jax.jit(lambda state: wgan.step(state, ROWS, DATA, system=system)[0])
    for updates, longer in {0: True, 24: True, 25: False, 499: False, 500: True}.items():
        memory = {"generator_updates": jnp.asarray(updates, jnp.int32)}
        after = step(state.replace(memory=memory))
        assert int(after.step) == (7 if longer else 3), updates
        assert int(after.memory["generator_updates"]) == updates + 1


def test_the_estimate_grows_linearly_with_the_distance_of_two_points():
    """Two point masses whose supports never meet: their Jensen-Shannon divergence is constant."""
    system, state = tiny_system(discriminator_learning_rate=5e-3, clip=0.1)
    data = Resident(jnp.zeros((8, 2)), jnp.zeros(8, jnp.int32))

    def estimate(distance):
        generator = state.players["generator"]
        params = jax.tree.map(jnp.zeros_like, generator.params)
        params["MLP_0"]["Dense_1"]["bias"] = jnp.array([distance, 0.0])
        players = {**state.players, "generator": generator.replace(params=params)}

        def move(state, _):
            return wgan.critic_step(state, ROWS[0], data, system=system)

        _, metrics = jax.lax.scan(move, state.replace(players=players), length=200)
        return -metrics["d_loss"][-1]

    distances = jnp.array([0.0, 0.5, 1.0, 2.0, 4.0])
    found = np.asarray(jax.jit(jax.vmap(estimate))(distances))
    assert np.corrcoef(distances, found)[0, 1] > 0.99
    assert np.all(np.diff(found) > 0.01)


def test_momentum_is_possible_but_logged_as_a_risk(caplog):
    config = wgan_config.get_config("tiny")
    with caplog.at_level(logging.WARNING):
        make(config, devices.make_mesh(1))
        assert caplog.text == ""
        config.momentum = 0.9
        make(config, devices.make_mesh(1))
    assert "config.clip=0.01 with momentum 0.9" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 0.0}, "config.clip=0.0: must be 1e-06 or more"),
        ({"critic_steps": 0}, "config.critic_steps=0: must be 1 or more"),
        ({"thorough_critic_steps": -1}, "config.thorough_critic_steps=-1"),
        ({"network": "dcgan"}, "config.network=dcgan: the samples have the shape"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = wgan_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
