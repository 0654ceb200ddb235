"""Supervised mask regression: its loss by hand, runs that start from it, its config."""

import contextlib
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import close, equal, make_batch

from configs import cgan, metricgan, policy_gradient
from configs import mask_regression as configs
from jaxgan import recipes
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.core.players import adopt, load_players
from jaxgan.speech.networks.masking import make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.systems import mask_regression

LENGTHS = [2500, 2560]  # both have 11 frames, so that one program serves both


def feature_by_hand(wave, kind):
    """Returns the magnitudes of one utterance, float64 [frames, bins]."""
    wave = np.pad(wave / 32768, (256, 256 + -len(wave) % 256))
    count = len(wave) // 256 - 1
    frames = np.stack([wave[256 * i : 256 * i + 512] for i in range(count)]) * np.hamming(512)
    magnitude = np.abs(np.fft.rfft(frames))
    return np.log1p(magnitude) if kind == "log1p" else magnitude


@pytest.mark.parametrize(
    ("kind", "distance", "measure", "causal"),
    [
        ("linear", "l1", np.abs, False),
        ("log1p", "mse", np.square, False),
        ("log1p", "l1", np.abs, True),
    ],
)
def test_loss_by_hand_falls(kind, distance, measure, causal):
    config = configs.get_config("tiny")
    changes = {"generator.dropout": 0.0, "feature": kind, "generator.causal": causal}
    config.update_from_flattened_dict(changes)
    system = mask_regression.System(
        masking=make_masking(config),
        distance=distance,
        optimizer=adam(config, 0.01),
        average_decay=0.5,
    )
    state = jax.jit(functools.partial(mask_regression.init, system=system))(jax.random.key(0))
    step = jax.jit(functools.partial(mask_regression.step, system=system))
    mask_of = jax.jit(system.masking.generator.apply)
    batch = make_batch(LENGTHS, total=2816, rows=3)
    before = state.players["generator"]
    errors = []
    for row, length in enumerate(LENGTHS):
        clean, noisy = (
            feature_by_hand(np.asarray(wave[row, :length]), kind)
            for wave in (batch.clean, batch.noisy)
        )
        given = jnp.asarray(noisy, jnp.float32)[None]
        mask = mask_of({"params": before.params}, given, jnp.array([len(noisy)]))[0]
        errors.append(measure(np.asarray(mask, np.float64) * noisy - clean))

    state, metrics = step(state, batch)
    first = float(metrics["g_loss"])
    assert first == pytest.approx(np.mean(errors), rel=1e-4)
    player = state.players["generator"]
    halfway = jax.tree.map(lambda a, b: (a + b) / 2, player.params, before.params)
    close(player.average, halfway, 1e-6)

    for _ in range(20):
        state, metrics = step(state, batch)
    assert float(metrics["g_loss"]) < 0.97 * first


def test_other_systems_start_from_its_generator(tmp_path):
    config, mesh = configs.get_config("tiny"), devices.make_mesh(1)
    config.rounds = 1
    with contextlib.closing(mask_regression.make(config, mesh)) as recipe:
        loop.run(recipe, config, tmp_path)
    trained = load_players(tmp_path, "best")["generator"].deployed
    for other, new_player in ((cgan, "discriminator"), (policy_gradient, "deviation")):
        config = other.get_config("tiny")
        config.init_from = str(tmp_path)
        with contextlib.closing(recipes.make(config, mesh)) as recipe:
            fresh = recipe.init(jax.random.key(3))
            state = adopt(fresh, tmp_path, "best", recipe.optional_players)
        assert equal(state.players["generator"].params, trained)
        assert not equal(fresh.players["generator"].params, trained)
        assert equal(state.players[new_player], fresh.players[new_player])


@pytest.mark.parametrize(("key", "value"), [("distance", "l2"), ("average_decay", 1.0)])
def test_invalid_settings_are_named(key, value):
    config = configs.get_config()
    config[key] = value
    with pytest.raises(UserError, match=re.escape(key)):
        mask_regression.make(config, devices.make_mesh(1))


@pytest.mark.parametrize("preset", [None, "log1p", "quick"])
def test_its_config_has_the_network_and_rounds_of_metricgan(preset):
    config = configs.get_config(preset)
    assert config.distance == ("mse" if preset == "log1p" else "l1")
    other = metricgan.get_config("quick" if preset == "quick" else None)
    assert config.generator.width == other.generator.width
    assert config.rounds == other.rounds
