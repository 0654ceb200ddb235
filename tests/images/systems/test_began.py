"""BEGAN: its losses and k by hand, the limits of k, the equilibrium, and its learning rates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import began as began_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.data.batches import Resident
from jaxgan.images.networks import pair
from jaxgan.images.systems import began
from jaxgan.recipes import make

DATA = Resident(jax.random.normal(jax.random.key(9), (64, 2)), jnp.zeros(64, jnp.int32))
ROWS = jnp.arange(64, dtype=jnp.int32).reshape(1, 64)


def tiny_system(k=0.0, **values):
    config = began_config.get_config("tiny")
    config.update(values)
    networks = began.make_networks(config, (2,))
    system = began.System(
        networks=networks,
        optimizers=began.make_optimizers(config),
        gamma=config.gamma,
        lambda_k=config.lambda_k,
        average_decay=config.average_decay,
    )
    memory = {"k": jnp.float32(k)}
    init = jax.jit(pair.initial(networks, system.optimizers, config.average_decay, memory=memory))
    return system, init(jax.random.key(0))


def test_the_losses_and_k_by_hand():
    system, state = tiny_system(k=0.4, gamma=0.7, lambda_k=0.1)

    @jax.jit
    def play(state):
        def seen(state):
            key = step_key(state, began.CODES)
            fake, _ = pair.generate(system.networks, state.players["generator"], key, 64)
            judges = state.players["discriminator"]
            return fake, pair.judge(system.networks, judges, DATA.values, fake)[0]

        moved, _ = began.discriminator_step(state, DATA.values, system=system)
        return seen(state), seen(moved), began.step(state, ROWS, DATA, system=system)

    before, between, (after, metrics) = jax.device_get(play(state))

    def errors(fake, made):
        pairs = ((DATA.values, made[0][0]), (fake, made[1][0]))
        return [np.mean(np.abs(np.float64(a) - np.float64(b))) for a, b in pairs]

    on_real, on_fake = errors(*before)
    _, of_generator = errors(*between)
    assert float(metrics["d_loss"]) == pytest.approx(on_real - 0.4 * on_fake, rel=1e-4)
    assert float(metrics["g_loss"]) == pytest.approx(of_generator, rel=1e-4)
    balance = 0.7 * on_real - of_generator
    assert float(metrics["m_global"]) == pytest.approx(on_real + abs(balance), rel=1e-4)
    assert float(after.memory["k"]) == pytest.approx(0.4 + 0.1 * balance, rel=1e-5)
    assert metrics["k"] == after.memory["k"]


def test_k_stays_between_0_and_1():
    system, state = tiny_system(gamma=0.0, lambda_k=1.0)
    step = jax.jit(functools.partial(began.step, system=system))
    after, _ = step(state, ROWS, DATA)
    assert after.memory["k"] == 0.0  # gamma E L(x) - E L(G(z)) is negative
    system, state = tiny_system(k=0.9999, gamma=1.0, lambda_k=1.0)
    generator = state.players["generator"]
    dull = generator.replace(params=jax.tree.map(jnp.zeros_like, generator.params))
    state = state.replace(players={**state.players, "generator": dull})
    after, _ = jax.jit(functools.partial(began.step, system=system))(state, ROWS, DATA)
    assert after.memory["k"] == 1.0


@pytest.mark.parametrize("lambda_k", [0.1, 0.0])
def test_k_balances_the_errors_of_both_kinds_of_samples(lambda_k):
    """A code of one number cannot describe the plane, so L(x) has a lower bound above 0."""
    rates = {f"{player}_learning_rate": 3e-3 for player in ("generator", "discriminator")}
    narrow = {"code": 1, "widths": (16,)}
    system, state = tiny_system(gamma=0.7, lambda_k=lambda_k, discriminator=narrow, **rates)

    @jax.jit
    def train(state):
        def move(state, _):
            return began.step(state, ROWS, DATA, system=system)

        return jax.lax.scan(move, state, length=1500)[1]

    metrics = jax.device_get(train(state))
    late = {name: values[-500:].mean() for name, values in metrics.items()}
    ratio = late["g_loss"] / late["d_real"]
    if lambda_k:
        assert ratio == pytest.approx(0.7, rel=0.1)
        assert 0 < late["k"] < 1
        assert late["m_global"] < 0.7 * metrics["m_global"][0]
    else:
        assert ratio < 0.6


def test_quick_has_the_networks_of_dcgan():
    config = began_config.get_config("quick")
    networks = began.make_networks(config, (28, 28, 1))
    optimizers = began.make_optimizers(config)
    init = pair.initial(networks, optimizers, 0.0, memory={"k": jnp.zeros(())})

    def shapes(key):
        state = init(key)
        fake, _ = pair.generate(networks, state.players["generator"], key, 3)
        return fake, pair.judge(networks, state.players["discriminator"], fake)[0][0]

    fake, (made, codes) = jax.eval_shape(shapes, jax.random.key(0))
    assert fake.shape == made.shape == (3, 28, 28, 1)
    assert codes.shape == (3, 64)


def test_the_learning_rates_are_halved():
    system, _ = tiny_system(halve_every=2, generator_learning_rate=0.1)
    optimizer = system.optimizers["generator"]
    params = {"w": jnp.ones(1)}

    @jax.jit
    def updates(state):
        def move(state, _):
            update, state = optimizer.update(params, state, params)
            return state, update["w"][0]

        return jax.lax.scan(move, state, length=5)[1]

    found = updates(optimizer.init(params))
    np.testing.assert_allclose(found, [-0.1, -0.1, -0.05, -0.05, -0.025], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 1.5}, "config.gamma=1.5: must be from 0 to 1"),
        ({"lambda_k": -0.1}, "config.lambda_k=-0.1: must be from 0 to 1"),
        ({"halve_every": 0}, "config.halve_every=0: must be 1 or more"),
        ({"network": "unet"}, "config.network=unet: choose one of mlp, dcgan, began"),
        ({"network": "began"}, "config.network=began: the samples have the shape"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = began_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
