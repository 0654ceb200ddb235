"""Training on the score itself."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from corpora import pair_corpus, tone
from tiny_runs import LENGTHS, make_batch, play, tiny_config

from configs import pesq_loss
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.score import by_range
from jaxgan.scores.scorer import find_twin
from jaxgan.speech.data.corpora import Corpora
from jaxgan.speech.data.corpus import PairCorpus, choose_buckets
from jaxgan.speech.data.waves import join
from jaxgan.speech.networks.masking import as_float, enhance, make_masking
from jaxgan.speech.systems import score_loss
from jaxgan.speech.training import Training


@pytest.fixture(name="system", scope="module")
def small_system():
    return score_loss.System(
        masking=make_masking(tiny_config(**{"generator.dropout": 0.0})),
        score=by_range(get("si_sdr")),
        twin=find_twin("si_sdr"),
        optimizer=optax.sgd(0.1),
    )


def test_loss_is_one_minus_the_mean_score_of_what_has_one(system):
    state = score_loss.init(jax.random.key(0), system=system)
    batch = make_batch([9000, 7000, 8000], rows=4)
    batch = batch.replace(clean=batch.clean.at[1].set(0))
    moved, metrics = score_loss.generator_step(state, batch, system=system)
    params = state.players["generator"].params
    made = enhance(system.masking, params, as_float(batch.noisy), batch.lengths)
    values = []
    for row, length in enumerate(batch.lengths.tolist()):
        sides = (as_float(batch.clean)[row, :length], made[row, :length])
        values.append(system.score(*map(np.asarray, sides), 16000))
    assert np.isnan(values).tolist() == [False, True, False, True]
    unit = system.score.normalise(np.array(values))
    assert float(metrics["loss"]) == pytest.approx(1 - np.nanmean(unit), abs=1e-4)
    np.testing.assert_allclose(metrics["score"], unit, atol=1e-4)
    leaves = jax.tree.leaves(moved.players["generator"].params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def tones_in_noise(lengths):
    """Pairs that a mask can clean: low tones, and the same in white noise."""
    random = np.random.default_rng(0)
    clean = [(32768 * tone(n / 16000, hertz=300.0 + 50 * n % 7)).astype(np.int16) for n in lengths]
    noisy = [side + random.normal(0, 6000, len(side)).astype(np.int16) for side in clean]
    names = tuple(f"t{number}" for number in range(len(lengths)))
    return PairCorpus(names, join(clean), join(noisy), choose_buckets(lengths, 1))


@contextlib.contextmanager
def recipe_of(**changes):
    corpora = Corpora(tones_in_noise(LENGTHS), tones_in_noise(LENGTHS[:3]), None)
    config = tiny_config(score="si_sdr", gradient_clip=5.0, **changes)
    with ScorePool((config.score,), 16000, 1, 20.0) as pool:
        training = Training(config, devices.make_mesh(1), corpora, pool)
        recipe = score_loss.ScoreLoss(config, training)
        with contextlib.closing(recipe):
            yield recipe


def test_the_score_rises_and_the_host_agrees():
    with recipe_of(**{"scoring.where": "device"}) as recipe:
        state, history, rows = play(recipe, 6)
        evaluation = recipe.evaluate(devices.put_replicated(state, recipe.training.mesh), 6)()
    assert all(record == {} for record in history)
    assert rows[-1]["score"] > rows[0]["score"] + 0.01
    assert evaluation.metrics["si_sdr"] > evaluation.metrics["si_sdr_noisy"]
    assert evaluation.metrics["si_sdr_device_difference"] < 2e-3


def test_a_score_without_gradient_is_refused():
    corpora = Corpora(pair_corpus(LENGTHS, 2), pair_corpus(LENGTHS[:3], 1), None)
    with ScorePool(("tiny_scores.correlation",), 16000, 1, 20.0) as pool:
        training = Training(tiny_config(), devices.make_mesh(1), corpora, pool)
        with (
            contextlib.closing(training),
            pytest.raises(UserError, match=r"tiny_scores\.correlation"),
        ):
            score_loss.ScoreLoss(tiny_config(), training)


def test_its_config_has_what_the_recipe_reads():
    config = pesq_loss.get_config()
    assert config.recipe == "score_loss"
    assert find_twin(config.score) is not None
