"""Supervised mask regression."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recipe_checks import one_device_equals_eight, open_recipe, resumes_bit_for_bit
from tiny_runs import close, equal, make_batch, play, tiny_config

from configs import mask_regression as configs
from configs import metricgan
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.networks.masking import make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.systems import mask_regression


def make_config(**changes):
    config = tiny_config(**changes)
    config.distance = "l1"
    return config


def make_system(distance, **changes):
    config = make_config(**{"generator.dropout": 0.0, **changes})
    return mask_regression.System(make_masking(config), distance, adam(config, 0.01), 0.5)


def feature(wave, kind):
    """Magnitudes of one utterance by NumPy alone: [frames, bins]."""
    wave = np.pad(wave / 32768, (256, 256 + -len(wave) % 256))
    count = len(wave) // 256 - 1
    frames = np.stack([wave[256 * i : 256 * i + 512] for i in range(count)]) * np.hamming(512)
    magnitude = np.abs(np.fft.rfft(frames))
    return (np.log1p(magnitude) if kind == "log1p" else magnitude).astype(np.float32)


def start(system):
    """A fresh state, and the compiled step."""
    init = jax.jit(functools.partial(mask_regression.init, system=system))
    step = jax.jit(functools.partial(mask_regression.generator_step, system=system))
    return init(jax.random.key(0)), step


@pytest.mark.parametrize(
    ("kind", "distance", "of"), [("linear", "l1", np.abs), ("log1p", "mse", np.square)]
)
def test_loss_by_hand(kind, distance, of):
    system = make_system(distance, feature=kind)
    state, step = start(system)
    lengths = [9000, 9100]
    batch = make_batch(lengths, total=9216, rows=3)
    moved, metrics = step(state, batch)
    params = {"params": state.players["generator"].params}
    mask_of = jax.jit(system.masking.generator.apply)
    total, units = 0.0, 0
    for row, length in enumerate(lengths):
        clean, noisy = (
            feature(np.asarray(side[row, :length]), kind) for side in (batch.clean, batch.noisy)
        )
        mask = mask_of(params, noisy[None], jnp.array([len(noisy)]))[0]
        total += of(np.asarray(mask) * noisy - clean).sum()
        units += clean.size
    assert float(metrics["loss"]) == pytest.approx(total / units, rel=1e-4)
    player, before = moved.players["generator"], state.players["generator"]
    assert not equal(player.params, before.params)
    halfway = jax.tree.map(lambda a, b: (a + b) / 2, player.params, before.params)
    close(player.average, halfway, 1e-6)
    padded = step(state, make_batch(lengths, total=12800, rows=5))[1]
    assert float(padded["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)


def test_one_device_equals_eight():
    one_device_equals_eight(mask_regression.MaskRegression, make_config())


def test_stop_and_resume_equals_not_stopping_bit_for_bit(tmp_path):
    resumes_bit_for_bit(mask_regression.MaskRegression, make_config, tmp_path)


def test_the_loss_falls():
    with open_recipe(mask_regression.MaskRegression, make_config()) as recipe:
        _, history, rows = play(recipe, 6)
    assert rows[-1]["g_loss"] < 0.97 * rows[0]["g_loss"]
    assert all(record == {} for record in history)


@pytest.mark.parametrize(("key", "value"), [("distance", "l2"), ("average_decay", 1.0)])
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = make_config()
    config[key] = value
    with pytest.raises(UserError, match=re.escape(key)):
        mask_regression.make(config, devices.make_mesh())


@pytest.mark.parametrize("preset", [None, "log1p", "quick"])
def test_its_config_has_the_network_of_its_rival(preset):
    config = configs.get_config(preset)
    assert config.recipe == "mask_regression"
    assert config.distance == ("mse" if preset == "log1p" else "l1")
    rival = metricgan.get_config("quick" if preset == "quick" else None)
    assert config.generator.width == rival.generator.width
    assert config.rounds == rival.rounds
