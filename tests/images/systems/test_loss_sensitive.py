"""The loss-sensitive GAN: its losses by hand, the margin it learns, and GLS-GAN's other end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import loss_sensitive as loss_sensitive_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.networks import pair
from jaxgan.images.systems import loss_sensitive
from jaxgan.recipes import make

REAL = 2 + 0.5 * jax.random.normal(jax.random.key(9), (64, 2))


def tiny_system(**values):
    config = loss_sensitive_config.get_config("tiny")
    config.update(values)
    networks = pair.make_networks(config, (2,))
    system = loss_sensitive.System(
        networks=networks,
        optimizers=loss_sensitive.make_optimizers(config),
        tau=config.tau,
        nu=config.nu,
        real_weight=config.real_weight,
        average_decay=config.average_decay,
    )
    init = jax.jit(pair.initial(networks, system.optimizers, config.average_decay))
    return system, init(jax.random.key(0))


def see(system, state):
    """A step on REAL, and the fakes and energies that it saw."""
    key = step_key(state, loss_sensitive.CODES)
    fake, _ = pair.generate(system.networks, state.players["generator"], key, len(REAL))
    judge = state.players["discriminator"]
    (on_real, on_fake), _ = pair.judge(system.networks, judge, REAL, fake)
    return fake, on_real, on_fake, loss_sensitive.loss_step(state, REAL, system=system)


@pytest.mark.parametrize("nu", [0.0, 0.3])
def test_the_loss_by_hand(nu):
    system, state = tiny_system(tau=0.36, nu=nu, real_weight=0.2)
    seen = jax.device_get(jax.jit(functools.partial(see, system))(state))
    *arrays, (_, metrics) = seen
    fake, on_real, on_fake = (np.asarray(array, np.float64) for array in arrays)
    margin = 0.36 * np.abs(np.asarray(REAL) - fake).sum(axis=1)
    excess = margin + on_real - on_fake
    assert (excess > 0).any()
    assert (excess < 0).any()
    cost = np.where(excess > 0, excess, nu * excess)
    expected = 0.2 * on_real.mean() + cost.mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    satisfied = np.mean(on_fake - on_real >= 0.9 * margin)
    assert float(metrics["satisfied"]) == pytest.approx(satisfied, abs=0.02)


def train_loss(**values):
    """Trains L against a generator that stays as it is; returns the metrics of every step."""
    rates = {"discriminator_learning_rate": 0.01, "real_weight": 0.0, "weight_decay": 0.0}
    system, state = tiny_system(tau=1.0, **(rates | values))

    @jax.jit
    def train(state):
        def move(state, _):
            return loss_sensitive.loss_step(state, REAL, system=system)

        return jax.lax.scan(move, state, length=300)

    state, metrics = jax.device_get(train(state))
    return system, state, metrics


def test_the_margin_is_learned_and_the_hinge_stops_there():
    _, _, hinge = train_loss(nu=0.0)
    assert hinge["satisfied"][0] < 0.2
    assert hinge["satisfied"][-1] >= 0.9
    assert 0 <= hinge["d_loss"][-1] < 0.2
    _, _, linear = train_loss(nu=1.0)
    assert linear["d_loss"][-1] < -10  # there is no lower bound


def test_with_nu_1_the_gradient_is_that_of_the_wasserstein_gan():
    system, state = tiny_system(tau=1.0, nu=1.0, real_weight=0.0)
    key = step_key(state, loss_sensitive.CODES)

    @jax.jit
    def gradients(params):
        fake, _ = pair.generate(system.networks, state.players["generator"], key, len(REAL))

        def energies(params):
            judge = state.players["discriminator"].replace(params=params)
            return pair.judge(system.networks, judge, REAL, fake)[0]

        def own(params):
            margin = jnp.full(len(REAL), 0.7)
            return loss_sensitive.LOSS.discriminator(*energies(params), margin=margin, nu=1.0)

        def wasserstein(params):
            on_real, on_fake = energies(params)
            return on_real.mean() - on_fake.mean()

        return jax.grad(own)(params), jax.grad(wasserstein)(params)

    one, two = gradients(state.players["discriminator"].params)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_weight_decay_pulls_both_players():
    system, state = tiny_system(weight_decay=0.5)
    for name, player in state.players.items():
        nothing = jax.tree.map(jnp.zeros_like, player.params)
        update = jax.jit(system.optimizers[name].update)
        updates, _ = update(nothing, player.opt_state, player.params)
        for moved, value in zip(*map(jax.tree.leaves, (updates, player.params)), strict=True):
            np.testing.assert_array_equal(np.sign(moved), -np.sign(value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nu": 1.5}, "config.nu=1.5: must be from 0 to 1"),
        ({"tau": -1.0}, "config.tau=-1.0: must be 0 or more"),
        ({"weight_decay": -1.0}, "config.weight_decay=-1.0: must be 0 or more"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = loss_sensitive_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
