"""Training on the score itself: its loss by hand, a toy task, its config."""

import functools

import jax
import numpy as np
import pytest
from tiny_runs import make_batch

from configs import pesq_loss
from jaxgan.core import devices, metrics
from jaxgan.core.errors import UserError
from jaxgan.scores.registry import get
from jaxgan.scores.score import by_range
from jaxgan.scores.training_scores import find_device_score
from jaxgan.speech.networks.masking import as_float, enhance, make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.systems import score_loss


def test_loss_is_one_minus_the_mean_of_the_known_scores_and_falls():
    config = pesq_loss.get_config("tiny")
    system = score_loss.System(
        masking=make_masking(config),
        score=by_range(get("si_sdr")),
        device_score=find_device_score("si_sdr"),
        optimizer=adam(config, 0.01),
        average_decay=0.0,
    )
    state = jax.jit(functools.partial(score_loss.init, system=system))(jax.random.key(0))
    step = jax.jit(functools.partial(score_loss.step, system=system))
    lengths = [2500, 2000, 2560]
    batch = make_batch(lengths, total=2816, rows=4)
    batch = batch.replace(clean=batch.clean.at[1].set(0))  # a silent reference has no score
    params, noisy = state.players["generator"].params, as_float(batch.noisy)
    made = jax.jit(functools.partial(enhance, system.masking))(params, noisy, batch.lengths)
    pairs = [
        (np.asarray(batch.clean[row, :length]), np.asarray(made[row, :length]))
        for row, length in enumerate(lengths)
    ]
    raw = np.array([system.score(*pair, 16000) for pair in pairs])
    assert np.isnan(raw).tolist() == [False, True, False]
    expected = np.nanmean(system.score.normalise(raw))

    losses = []
    for _ in range(15):
        state, found = step(state, batch)
        found = metrics.of_round([jax.device_get(found)])
        losses.append(found["g_loss"])
        assert found["unscorable"] == 1
        assert found["score"] == pytest.approx(1 - losses[-1], abs=1e-6)
    assert losses[0] == pytest.approx(1 - expected, abs=1e-4)
    assert losses[-1] < losses[0] - 0.005


@pytest.mark.parametrize(
    ("key", "value"), [("score", "tiny_scores.correlation"), ("feature", "log")]
)
def test_invalid_settings_are_named(key, value):
    config = pesq_loss.get_config()
    config[key] = value
    with pytest.raises(UserError, match=rf"{key}={value}"):
        score_loss.make(config, devices.make_mesh(1))
