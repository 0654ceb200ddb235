"""The energy-based GAN: energies, margin and pull-away term by hand, and what they teach."""

import functools

import jax
import numpy as np
import pytest

from configs import ebgan as ebgan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.networks import pair
from jaxgan.images.systems import ebgan
from jaxgan.recipes import make

REAL = jax.random.normal(jax.random.key(9), (32, 2)) * np.float32([1, 0.01]) + 2


def tiny_system(**values):
    config = ebgan_config.get_config("tiny")
    config.update(values)
    networks = pair.make_networks(config, (2,), discriminators=ebgan.AUTOENCODERS)
    system = ebgan.System(
        networks=networks,
        optimizers=pair.make_optimizers(config),
        margin=config.margin,
        pull_away=config.pull_away,
        average_decay=config.average_decay,
    )
    init = jax.jit(pair.initial(networks, system.optimizers, config.average_decay))
    return system, init(jax.random.key(0))


def test_the_losses_of_both_steps_by_hand():
    system, state = tiny_system(margin=0.5, pull_away=0.7)

    @jax.jit
    def play(state):
        def seen(state):
            key = step_key(state, ebgan.CODES)
            fake, _ = pair.generate(system.networks, state.players["generator"], key, len(REAL))
            judges = state.players["discriminator"]
            return fake, pair.judge(system.networks, judges, REAL, fake)[0]

        moved, of_discriminator = ebgan.discriminator_step(state, REAL, system=system)
        _, of_generator = ebgan.generator_step(moved, len(REAL), system=system)
        return seen(state), of_discriminator, seen(moved), of_generator

    (fake, seen), of_discriminator, (next_fake, next_seen), of_generator = jax.device_get(
        play(state)
    )

    def energy(made, batch):
        return np.sqrt(np.sum((np.float64(made) - np.float64(batch)) ** 2, axis=1))

    on_real, on_fake = energy(seen[0][0], REAL), energy(seen[1][0], fake)
    expected = on_real.mean() + np.maximum(0.5 - on_fake, 0).mean()
    assert 0 < np.mean(on_fake < 0.5) < 1
    assert float(of_discriminator["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(of_discriminator["d_fake"]) == pytest.approx(on_fake.mean(), rel=1e-4)

    codes = np.float64(next_seen[1][1])
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    squares = [
        float(unit[i] @ unit[j]) ** 2
        for i in range(len(codes))
        for j in range(len(codes))
        if i != j
    ]
    expected = energy(next_seen[1][0], next_fake).mean() + 0.7 * np.mean(squares)
    assert float(of_generator["pull_away"]) == pytest.approx(np.mean(squares), rel=1e-4)
    assert float(of_generator["g_loss"]) == pytest.approx(expected, rel=1e-4)


def train(step, state):
    """Makes 300 steps of one player. Returns the state and the metrics of every step."""

    @jax.jit
    def steps(state):
        return jax.lax.scan(lambda state, _: step(state), state, length=300)

    return jax.device_get(steps(state))


def test_energies_fall_on_data_and_rise_elsewhere():
    system, state = tiny_system(margin=1.0, discriminator_learning_rate=0.01)
    step = functools.partial(ebgan.discriminator_step, real=REAL, system=system)
    _, metrics = train(step, state)
    assert metrics["d_real"][-20:].mean() < 0.3
    assert metrics["d_fake"][-20:].mean() > 0.9


def test_the_pull_away_term_turns_codes_away_from_each_other():
    found = {}
    for weight in (0.0, 10.0):
        system, state = tiny_system(pull_away=weight, generator_learning_rate=0.01)
        step = functools.partial(ebgan.generator_step, count=32, system=system)
        _, metrics = train(step, state)
        found[weight] = metrics["pull_away"][-20:].mean()
    assert found[10.0] < found[0.0] - 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.0}, "config.margin=0.0: must be 1e-06 or more"),
        ({"pull_away": -0.1}, "config.pull_away=-0.1: must be 0 or more"),
        ({"batch_size": 1}, "config.batch_size=1: must be 2 or more"),
        ({"discriminator": {"code": 1}}, "config.discriminator.code=1: must be 2 or more"),
        ({"network": "dcgan"}, "config.network=dcgan: the samples have the shape"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = ebgan_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
