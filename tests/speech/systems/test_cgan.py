"""The least-squares conditional GAN on spectrograms: losses by hand, a toy task, its config."""

import functools
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import equal, make_batch

from configs import cgan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.networks.masking import as_float, make_masking, masked_feature
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import MetricDiscriminator
from jaxgan.speech.systems import cgan

LENGTHS = [2500, 2560]  # both have 11 frames, so that one program serves both
WEIGHT = 7.0


@pytest.fixture(name="compiled", scope="module")
def compiled_system():
    """A system without dropout, its first state and its compiled functions."""
    config = configs.get_config("tiny")
    config.generator.dropout = 0.0
    system = cgan.System(
        masking=make_masking(config),
        discriminator=MetricDiscriminator(**config.discriminator),
        generator_optimizer=adam(config, 0.01),
        discriminator_optimizer=adam(config, 0.01),
        l1_weight=WEIGHT,
        average_decay=0.0,
    )
    masking = system.masking

    @jax.jit
    def features_of_one(params, clean, noisy, length):
        """The features of one utterance without padding: clean, noisy and enhanced."""
        clean, noisy = (masking.feature_of(as_float(wave)) for wave in (clean, noisy))
        return clean, noisy, masked_feature(masking, params, noisy, length)

    @jax.jit
    def judge_one(player, candidate, noisy):
        frames = jnp.array([noisy.shape[1]])
        return system.discriminator.apply(
            player.variables, candidate, noisy, frames, mutable=list(player.state)
        )[0][0]

    return SimpleNamespace(
        system=system,
        state=jax.jit(functools.partial(cgan.init, system=system))(jax.random.key(0)),
        discriminator_step=jax.jit(functools.partial(cgan.discriminator_step, system=system)),
        generator_step=jax.jit(functools.partial(cgan.generator_step, system=system)),
        features_of_one=features_of_one,
        judge_one=judge_one,
    )


@pytest.fixture(name="batch", scope="module")
def small_batch():
    return make_batch(LENGTHS, total=2816, rows=3)


def features_by_row(compiled, batch):
    """Returns clean, noisy and enhanced features [1, frames, bins] of each utterance."""
    params = compiled.state.players["generator"].params
    return [
        compiled.features_of_one(
            params,
            batch.clean[row : row + 1, :2560],
            batch.noisy[row : row + 1, :2560],
            jnp.array([length]),
        )
        for row, length in enumerate(LENGTHS)
    ]


def test_generator_loss_by_hand(compiled, batch):
    moved, metrics = compiled.generator_step(compiled.state, batch)
    player = compiled.state.players["discriminator"]
    outputs, errors = [], []
    for clean, noisy, enhanced in features_by_row(compiled, batch):
        outputs.append(float(compiled.judge_one(player, enhanced, noisy)))
        errors.append(np.abs(np.asarray(enhanced, np.float64) - clean))
    adversarial, distance = np.mean((np.array(outputs) - 1) ** 2), np.mean(errors)
    assert float(metrics["g_adversarial"]) == pytest.approx(adversarial, rel=1e-4)
    assert float(metrics["g_distance"]) == pytest.approx(distance, rel=1e-4)
    assert float(metrics["g_loss"]) == pytest.approx(adversarial + WEIGHT * distance, rel=1e-4)
    assert equal(moved.players["discriminator"], player)


def test_discriminator_loss_by_hand(compiled, batch):
    moved, metrics = compiled.discriminator_step(compiled.state, batch)
    system, player = compiled.system, compiled.state.players["discriminator"]

    @jax.jit
    def after_the_clean_speech(player):
        features = cgan.features_of(batch, system.masking)
        return player.replace(state=cgan.judge(system, player, features.clean, features)[1])

    # Every call of D makes one power iteration of its spectral norms.
    second = after_the_clean_speech(player)
    of_clean, of_enhanced = [], []
    for clean, noisy, enhanced in features_by_row(compiled, batch):
        of_clean.append(float(compiled.judge_one(player, clean, noisy)))
        of_enhanced.append(float(compiled.judge_one(second, enhanced, noisy)))
    assert float(metrics["d_clean"]) == pytest.approx(np.mean(of_clean), rel=1e-4)
    assert float(metrics["d_enhanced"]) == pytest.approx(np.mean(of_enhanced), rel=1e-4)
    expected = np.mean((np.array(of_clean) - 1) ** 2) + np.mean(np.array(of_enhanced) ** 2)
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-4)
    assert equal(moved.players["generator"], compiled.state.players["generator"])


def test_discriminator_learns_to_separate_and_generator_to_deceive(compiled, batch):
    state = compiled.state
    for _ in range(40):
        state, metrics = compiled.discriminator_step(state, batch)
    assert float(metrics["d_clean"]) > float(metrics["d_enhanced"]) + 0.1
    losses = []
    for _ in range(15):
        state, metrics = compiled.generator_step(state, batch)
        losses.append(float(metrics["g_loss"]))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("preset", [None, "quick"])
@pytest.mark.parametrize(
    ("key", "value"), [("l1_weight", -1.0), ("discriminator.kernels", (5,)), ("feature", "log")]
)
def test_invalid_settings_are_named(preset, key, value):
    config = configs.get_config(preset)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        cgan.make(config, devices.make_mesh(1))
