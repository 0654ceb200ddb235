"""The GAN and its losses, on networks that are checked by hand."""

import jax
import numpy as np
import pytest

from configs import gan as gan_config
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images.networks import pair
from jaxgan.images.systems import gan
from jaxgan.recipes import make


def tiny_system(**values):
    config = gan_config.get_config("tiny")
    config.update(values)
    networks = pair.make_networks(config, (2,), config.packing)
    system = gan.System(
        networks=networks,
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        smoothing=config.smoothing,
        noise=config.noise,
        noise_steps=config.noise_steps,
        average_decay=config.average_decay,
    )
    state = pair.initial(networks, system.optimizers, config.average_decay)(jax.random.key(0))
    return system, state


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


BY_HAND = {
    "minimax": (
        lambda r, f: -np.mean(np.log(sigmoid(r))) - np.mean(np.log(1 - sigmoid(f))),
        lambda f: np.mean(np.log(1 - sigmoid(f))),
    ),
    "non_saturating": (
        lambda r, f: -np.mean(np.log(sigmoid(r))) - np.mean(np.log(1 - sigmoid(f))),
        lambda f: -np.mean(np.log(sigmoid(f))),
    ),
    "least_squares": (
        lambda r, f: np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
        lambda f: np.mean((f - 1) ** 2) / 2,
    ),
    "hinge": (
        lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
        lambda f: -np.mean(f),
    ),
}


@pytest.mark.parametrize("loss", BY_HAND)
def test_the_losses_of_both_steps_by_hand(loss):
    system, state = tiny_system(loss=loss)
    real = jax.random.normal(jax.random.key(1), (8, 2))

    def outputs(state):
        key = step_key(state, gan.CODES)
        fake, _ = pair.generate(system.networks, state.players["generator"], key, 8)
        return pair.judge(system.networks, state.players["discriminator"], real, fake)[0]

    of_discriminator, of_generator = BY_HAND[loss]
    on_real, on_fake = map(np.asarray, outputs(state))
    moved, metrics = gan.discriminator_step(state, real, system=system)
    assert float(metrics["d_loss"]) == pytest.approx(of_discriminator(on_real, on_fake), rel=1e-5)
    assert float(metrics["d_real"]) == pytest.approx(on_real.mean(), rel=1e-4, abs=1e-6)
    assert float(metrics["d_fake"]) == pytest.approx(on_fake.mean(), rel=1e-4, abs=1e-6)
    _, on_fake = outputs(moved)
    _, metrics = gan.generator_step(moved, 8, system=system)
    assert float(metrics["g_loss"]) == pytest.approx(of_generator(np.asarray(on_fake)), rel=1e-5)


def test_each_player_follows_its_own_loss():
    rates = {f"{player}_learning_rate": 1e-2 for player in ("generator", "discriminator")}
    system, state = tiny_system(**rates)
    real = jax.random.normal(jax.random.key(1), (64, 2)) + 2
    steps = {
        "d_loss": jax.jit(lambda state: gan.discriminator_step(state, real, system=system)),
        "g_loss": jax.jit(lambda state: gan.generator_step(state, 64, system=system)),
    }
    for name, step in steps.items():
        losses = []
        for _ in range(40):
            state, metrics = step(state)
            losses.append(float(metrics[name]))
        assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.05


def test_noise_is_annealed_and_differs_between_real_and_generated():
    system, state = tiny_system(noise=0.5, noise_steps=10)
    samples = np.zeros((256, 2), np.float32)
    real, fake = (
        np.asarray(gan.shown(system, state, samples, stream))
        for stream in (gan.NOISE_ON_REAL, gan.NOISE_ON_FAKE)
    )
    assert real.std() == pytest.approx(0.5, rel=0.1)
    assert abs(np.corrcoef(real.ravel(), fake.ravel())[0, 1]) < 0.2
    later = state.replace(step=state.step + 10)
    np.testing.assert_array_equal(gan.shown(system, later, samples, gan.NOISE_ON_REAL), samples)


def test_packs_show_d_several_samples():
    system, state = tiny_system(packing=2)
    kernel = state.players["discriminator"].params["MLP_0"]["Dense_0"]["kernel"]
    assert kernel.shape[0] == 4
    real = jax.random.normal(jax.random.key(1), (8, 2))
    _, metrics = gan.discriminator_step(state, real, system=system)
    assert np.isfinite(metrics["d_loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "wasserstein"}, "config.loss=wasserstein: choose one of minimax"),
        ({"loss": "hinge", "smoothing": 0.1}, "config.smoothing: 'hinge' has no labels"),
        ({"packing": 3}, "config.packing=3: must divide config.batch_size=8"),
        ({"network": "dcgan"}, "config.network=dcgan: the samples have the shape"),
        ({"latent": 0}, "config.latent=0"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    config = gan_config.get_config("tiny")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        make(config, devices.make_mesh(1))
