"""The least-squares conditional GAN on spectrograms: losses by hand, and the recipe as a whole."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recipe_checks import (
    begins_with_a_generator_alone,
    one_device_equals_eight,
    open_recipe,
    resumes_bit_for_bit,
)
from tiny_runs import RATE, equal, make_batch, play, tiny_config

from configs import cgan as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.networks.masking import as_float, make_masking, masked_feature
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import MetricDiscriminator
from jaxgan.speech.systems import cgan, cgan_steps

WEIGHT = 7.0


def make_config(**changes):
    config = tiny_config(**changes)
    config.l1_weight = WEIGHT
    return config


@pytest.fixture(name="masking", scope="module")
def small_masking():
    return make_masking(make_config(**{"generator.dropout": 0.0}))


@pytest.fixture(name="discriminator", scope="module")
def small_discriminator():
    return MetricDiscriminator(**make_config().discriminator)


@pytest.fixture(name="system", scope="module")
def small_system(masking, discriminator):
    optimizer = adam(make_config(), RATE)
    enhancement = cgan.masked_spectrograms(masking, discriminator)
    return cgan_steps.System(enhancement, optimizer, optimizer, WEIGHT, 0.0)


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return jax.jit(functools.partial(cgan_steps.init, system=system))(jax.random.key(0))


@pytest.fixture(name="steps", scope="module")
def compiled_steps(system):
    """(of D, of G), compiled."""
    steps = (cgan_steps.discriminator_step, cgan_steps.generator_step)
    return tuple(jax.jit(functools.partial(step, system=system)) for step in steps)


@pytest.fixture(name="batch", scope="module")
def small_batch():
    return make_batch([9000, 9100], rows=3)


def features(masking, state, batch):
    """Clean, noisy and enhanced features [1, frames, bins] of each utterance, without padding."""

    @jax.jit
    def of_one(params, clean, noisy, length):
        clean, noisy = (masking.feature_of(as_float(side)) for side in (clean, noisy))
        return clean, noisy, masked_feature(masking, params, noisy, length)

    for row, length in enumerate(batch.lengths.tolist()):
        if length:
            total = -(-length // 256) * 256
            sides = (side[row : row + 1, :total] for side in (batch.clean, batch.noisy))
            yield of_one(state.players["generator"].params, *sides, jnp.array([length]))


def word(discriminator, state, candidate, noisy):
    """D's word on one utterance, with the vectors of its spectral norms as they would be used."""
    player = state.players["discriminator"]
    frames = jnp.array([noisy.shape[1]])
    variables = {"params": player.params, **player.state}
    judge = jax.jit(functools.partial(discriminator.apply, mutable=list(player.state)))
    return float(judge(variables, candidate, noisy, frames)[0][0])


def test_generator_loss_by_hand(masking, discriminator, state, steps, batch):
    _, metrics = steps[1](state, batch)
    words, distance, units = [], 0.0, 0
    for clean, noisy, enhanced in features(masking, state, batch):
        words.append(word(discriminator, state, enhanced, noisy))
        distance += float(jnp.abs(enhanced - clean).sum())
        units += clean.size
    adversarial = np.mean([(value - 1) ** 2 for value in words])
    assert float(metrics["adversarial"]) == pytest.approx(adversarial, rel=1e-4)
    assert float(metrics["distance"]) == pytest.approx(distance / units, rel=1e-4)
    expected = adversarial + WEIGHT * distance / units
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)


def test_discriminator_loss_by_hand(masking, discriminator, system, state, steps, batch):
    _, metrics = steps[0](state, batch)
    # Power iterations go on between the two calls on one batch: the second by hand begins there.
    player = state.players["discriminator"]
    sides = jax.jit(system.enhancement.sides)(batch)
    _, after = jax.jit(system.enhancement.judge)(player.params, player.state, sides.clean, sides)
    second = state.players | {"discriminator": player.replace(state=after)}
    real, fake = [], []
    for clean, noisy, enhanced in features(masking, state, batch):
        real.append(word(discriminator, state, clean, noisy))
        fake.append(word(discriminator, state.replace(players=second), enhanced, noisy))
    assert float(metrics["clean"]) == pytest.approx(np.mean(real), rel=1e-4)
    assert float(metrics["enhanced"]) == pytest.approx(np.mean(fake), rel=1e-4)
    expected = np.mean((np.array(real) - 1) ** 2) + np.mean(np.array(fake) ** 2)
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)


def test_the_noisy_speech_is_the_condition_and_the_clean_is_not(system, state, batch):
    sides = jax.jit(system.enhancement.sides)(batch)
    player = state.players["discriminator"]

    @jax.jit
    def words(sides, candidate):
        return system.enhancement.judge(player.params, player.state, candidate, sides)[0][:2]

    word = words(sides, sides.clean)
    np.testing.assert_array_equal(word, words(sides._replace(clean=2 * sides.clean), sides.clean))
    other = words(sides._replace(noisy=sides.clean), sides.clean)
    assert not np.allclose(word, other, atol=1e-4)


def test_each_step_moves_one_player(state, steps, batch):
    taught, led = (step(state, batch)[0].players for step in steps)
    assert equal(taught["generator"], state.players["generator"])
    assert not equal(taught["discriminator"].params, state.players["discriminator"].params)
    assert equal(led["discriminator"], state.players["discriminator"])
    assert not equal(led["generator"].params, state.players["generator"].params)


def test_padding_changes_nothing(state, steps, batch):
    long = make_batch([9000, 9100], total=12800, rows=5)
    for step in steps:
        short_metrics, long_metrics = (step(state, given)[1] for given in (batch, long))
        for name, value in short_metrics.items():
            assert float(value) == pytest.approx(float(long_metrics[name]), rel=1e-4), name


def test_discriminator_learns_to_tell_and_generator_to_deceive(state, steps, batch):
    for _ in range(40):
        state, metrics = steps[0](state, batch)
    assert float(metrics["clean"]) > float(metrics["enhanced"]) + 0.1
    losses = []
    for _ in range(15):
        state, metrics = steps[1](state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]


def test_one_device_equals_eight():
    one_device_equals_eight(cgan.assemble, make_config(), 1e-3)


def test_stop_and_resume_equals_not_stopping_bit_for_bit(tmp_path):
    resumes_bit_for_bit(cgan.assemble, make_config, tmp_path)


def test_begins_with_the_generator_of_a_regression(tmp_path):
    with open_recipe(cgan.assemble, make_config()) as recipe:
        begins_with_a_generator_alone(recipe, tmp_path)


def test_a_round_moves_both_players_and_reports_what_each_learned():
    with open_recipe(cgan.assemble, make_config()) as recipe:
        before = jax.device_get(recipe.init(jax.random.key(3)))
        state, _, rows = play(recipe, 1)
    for name, player in state.players.items():
        assert not equal(player.params, before.players[name].params)
    expected = rows[0]["g_adversarial"] + WEIGHT * rows[0]["g_distance"]
    assert rows[0]["g_loss"] == pytest.approx(expected, rel=1e-5)
    assert rows[0].keys() >= {"d_loss", "d_clean", "d_enhanced", "throughput/audio_seconds"}


@pytest.mark.parametrize(
    ("key", "value"), [("l1_weight", -1.0), ("discriminator.kernels", (5,)), ("feature", "log")]
)
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = make_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        cgan.make(config, devices.make_mesh())


@pytest.mark.parametrize("preset", [None, "quick"])
def test_its_config_has_what_the_recipe_reads(preset):
    config = configs.get_config(preset)
    assert config.recipe == "cgan"
    config.l1_weight = -1.0  # refused last of all, before any data are read
    with pytest.raises(UserError, match="l1_weight"):
        cgan.make(config, devices.make_mesh())
