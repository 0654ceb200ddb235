"""The recipe of MetricGAN as a whole."""

import contextlib
import dataclasses
import re

import jax
import numpy as np
import pytest
from corpora import mix_corpus, pair_corpus
from recipe_checks import begins_with_a_generator_alone
from tiny_runs import LENGTHS, equal, play, tiny_config

from configs import metricgan as configs
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.phase import Report
from jaxgan.core.players import load_players
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import score_names
from jaxgan.speech.data.corpora import Corpora
from jaxgan.speech.systems import metricgan
from jaxgan.speech.training import Rows, Training


@contextlib.contextmanager
def recipe_of(config, corpora=None, count=None):
    corpora = corpora or Corpora(pair_corpus(LENGTHS, 2), pair_corpus(LENGTHS[:3], 1), None)
    scores = (*score_names(config.score), *config.validation.scores)
    pool = ScorePool(scores, 16000, config.scoring.workers, config.scoring.deadline_seconds)
    training = Training(config, devices.make_mesh(count), corpora, pool)
    recipe = metricgan.MetricGAN(config, training)
    with contextlib.closing(recipe):
        yield recipe


def test_one_device_equals_eight():
    results = []
    for count in (1, 8):
        with recipe_of(tiny_config(), count=count) as recipe:
            results.append(play(recipe, 2))
    (one, one_history, one_rows), (eight, eight_history, eight_rows) = results
    # Adam divides by |g|: where a gradient is all but zero its sign is rounding.
    a, b = (
        np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(state.players)])
        for state in (one, eight)
    )
    assert np.mean(np.abs(a - b) < 5e-4) > 0.998
    for name, value in one_rows[0].items():
        assert value == pytest.approx(eight_rows[0][name], abs=1e-4), name
    for a, b in zip(one_history, eight_history, strict=True):
        np.testing.assert_array_equal(np.sort(a["index"]), np.sort(b["index"]))


def test_scores_are_the_same_wherever_they_are_computed():
    labels = []
    for scoring in ({"scoring.delay": 0}, {"scoring.delay": 1}, {"scoring.where": "device"}):
        with recipe_of(tiny_config(score="si_sdr", **scoring, **{"replay.share": 1.0})) as recipe:
            _, history, rows = play(recipe, 1)
            labels.append(history[0]["labels"])
            assert rows[0]["unscorable"] == 0
    np.testing.assert_allclose(labels[0], labels[1], atol=1e-6)
    np.testing.assert_allclose(labels[0], labels[2], atol=1e-4)


def test_labels_are_the_scores_of_the_utterances_kept_for_replay():
    with recipe_of(tiny_config()) as recipe:
        _, history, rows = play(recipe, 1)
        record = history[0]
        ends = np.cumsum(record["lengths"])
        for item, end in enumerate(ends):
            enhanced = record["enhanced"][end - record["lengths"][item] : end]
            clean = recipe.corpus.clean(int(record["index"][item]))
            (score,) = recipe.training.scores
            truth = score(clean, enhanced, 16000)
            assert record["labels"][item] == pytest.approx([truth], abs=1e-5)
        assert rows[0]["label"] == pytest.approx(record["labels"].mean(), abs=1e-5)


def test_several_scores_train_together():
    config = tiny_config(score="tiny_scores.correlation,si_sdr", **{"replay.clean": True})
    with recipe_of(config) as recipe:
        state, history, rows = play(recipe, 2)
        record = history[0]
        ends = np.cumsum(record["lengths"])
        for item, end in enumerate(ends):
            enhanced = record["enhanced"][end - record["lengths"][item] : end]
            clean = recipe.corpus.clean(int(record["index"][item]))
            truth = [
                score.normalise(score(clean, enhanced, 16000)) for score in recipe.training.scores
            ]
            assert record["labels"][item] == pytest.approx(truth, abs=1e-5)
        evaluation = recipe.evaluate(state, 2)()
    assert set(state.players) == {
        "generator",
        "discriminator_tiny_scores_correlation",
        "discriminator_si_sdr",
    }
    for name in ("tiny_scores.correlation", "si_sdr"):
        assert np.isfinite([row[f"d_mae_{name}"] for row in rows]).all()
    assert {"correlation", "si_sdr"} <= set(evaluation.metrics)
    assert evaluation.objective == evaluation.metrics["correlation"]


def test_a_discriminator_without_reference_learns_from_enhanced_and_noisy_alone():
    changes = {"discriminator.sees_reference": False, "clean_teaches": False}
    with recipe_of(tiny_config(**changes)) as recipe:
        state, history, rows = play(recipe, 2)
        before = jax.device_get(recipe.init(jax.random.key(recipe.config.seed)))
    kernel = state.players["discriminator"].params["Conv_0"]["kernel"]
    assert kernel.shape[2] == 1
    assert not equal(before.players["generator"].params, state.players["generator"].params)
    assert rows[0]["label"] == pytest.approx(history[0]["labels"].mean(), abs=1e-5)
    assert rows[1]["replayed"] > 0
    assert all(np.isfinite(value) for row in rows for value in row.values())


def test_the_unsupervised_preset_never_hears_clean_speech():
    preset = configs.get_config("unsupervised")
    assert preset.score == "dnsmos_ovr"
    changes = {
        "discriminator.sees_reference": preset.discriminator.sees_reference,
        "replay.clean": preset.replay.clean,
        **{key: preset[key] for key in ("order", "clean_teaches", "noisy_teaches")},
    }
    corpus = pair_corpus(LENGTHS, 2)
    results = []
    for clean in (corpus.clean_waves, corpus.noisy_waves):
        train = dataclasses.replace(corpus, clean_waves=clean)
        with recipe_of(
            tiny_config(score="tiny_scores.level", **changes),
            Corpora(train, pair_corpus(LENGTHS[:3], 1), None),
        ) as recipe:
            results.append(play(recipe, 2)[0].players)
    assert equal(*results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "stoi, stoi"}, "name each score once"),
        ({"score": "stoi,si_sdr", "score_weights": (1.0,)}, "one of 0 or more for each of 2"),
        ({"score_weights": (-1.0,)}, "score_weights"),
    ],
)
def test_scores_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        metricgan.make(tiny_config(**changes), devices.make_mesh(1))


@pytest.mark.parametrize("score", ["picky", "deadly"])
def test_what_cannot_be_scored_stops_no_run(score):
    config = tiny_config(score=f"tiny_scores.{score}")
    with recipe_of(config) as recipe:
        state, history, rows = play(recipe, 2)
    odd = sum(length % 2 for length in LENGTHS)
    assert odd == 1
    assert [row["unscorable"] for row in rows] == [odd, odd]
    assert len(history[0]["labels"]) == len(LENGTHS) - odd
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.players))


def test_a_round_is_summed_up_over_what_has_a_score():
    def reported(loss, *enhanced):
        predictions = np.zeros((2, len(enhanced), 3), np.float32)
        predictions[0, :, 1] = enhanced
        return Report({"loss": np.float32([loss, 0]), "prediction": predictions[..., None]}, 1)

    log = metricgan.Log(
        generator=[Report({"loss": np.float32([1, 2, 0])}, 2)],
        first=[reported(1, 0.5, 0.9), reported(2, 0.1, 7.0)],
        again=[reported(6, 0.0, 0.0)],
    )
    labels = [np.array([[1, 0.4, 1], [1, 0.8, 1]]), np.array([[1, 0.3, 1], [1, np.nan, 1]])]
    labels = [label[..., None] for label in labels]
    lengths = [np.array([16000, 8000]), np.array([16000, 8000])]
    rows = [Rows(np.zeros(2), np.ones(2), samples) for samples in lengths]
    with recipe_of(tiny_config()) as recipe:
        metrics = recipe.summary(jax.device_put(log), labels, rows)
    # Predicted 0.5, 0.9, 0.1 where 0.4, 0.8, 0.3 is true, about means of 0.5 and 0.5.
    correlation = (0.4 * 0.3 + 0.4 * 0.2) / np.sqrt((2 * 0.4**2) * (0.1**2 + 0.3**2 + 0.2**2))
    assert metrics == pytest.approx(
        {
            "g_loss": 1.5,
            "d_loss": 3.0,
            "label": 0.5,
            "d_mae": 0.4 / 3,
            "d_correlation": correlation,
            "unscorable": 1,
            "replayed": 0,
            "throughput/audio_seconds": 3.0,
        }
    )


def test_a_score_that_nothing_has_is_told_at_once():
    with (
        recipe_of(tiny_config(score="tiny_scores.nothing")) as recipe,
        pytest.raises(UserError, match=r"tiny_scores\.nothing"),
    ):
        play(recipe, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature", "log"),
        ("order", "both"),
        ("scoring.where", "moon"),
        ("scoring.delay", 2),
        ("rounds", 0),
        ("replay.share", 1.5),
        ("replay.most", -1),
        ("generator.width", -3),
        ("generator.dropout", 1.0),
        ("adam_b2", 1.0),
        ("average_decay", 1.0),
        ("front_end.hop", 100),
        ("front_end.hop", 0),
        ("front_end.sample_rate", 8000),
        ("discriminator.kernels", (5,)),
        ("discriminator.kernels", (31, 5)),
        ("discriminator.channels", (3, 0)),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = tiny_config(**{key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        metricgan.make(config, devices.make_mesh())


def test_mixtures_are_new_in_every_round():
    corpora = Corpora(mix_corpus(LENGTHS, [20000, 5000]), pair_corpus(LENGTHS[:3], 1), None)
    with recipe_of(tiny_config(), corpora) as recipe:
        _, _, rows = play(recipe, 2)
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert rows[1]["replayed"] > 0


@pytest.mark.parametrize("order", ["generator_first", "discriminator_first"])
def test_generator_waits_for_a_discriminator_that_knows_something(order):
    config = tiny_config(order=order, noisy_teaches=False, **{"replay.clean": True})
    with recipe_of(config) as recipe:
        before = jax.device_get(recipe.init(jax.random.key(config.seed)))
        after, _, rows = play(recipe, 1)
        waited = equal(before.players["generator"].params, after.players["generator"].params)
        assert waited == (order == "generator_first")
        assert ("g_loss" in rows[0]) == (order == "discriminator_first")


def train(workdir, **changes):
    config = tiny_config(**changes)
    with recipe_of(config) as recipe:
        loop.run(recipe, config, workdir)
    return load_players(workdir, "last"), read(workdir)


def test_stop_and_resume_equals_not_stopping_bit_for_bit(tmp_path):
    whole, whole_rows = train(tmp_path / "whole")
    train(tmp_path / "parts", rounds=2)
    parts, parts_rows = train(tmp_path / "parts")
    assert equal(whole, parts)
    names = [name for name in whole_rows[-1] if name.startswith(("train/", "valid/"))]
    assert "train/d_loss_replay" in names
    for a, b in zip(whole_rows, parts_rows, strict=True):
        for name in names:
            assert a.get(name) == b.get(name), name


def test_the_last_round_is_validated_on_all_that_is_held_out(tmp_path):
    settings = {"rounds": 2, "validation.every": 1}
    _, some = train(tmp_path / "some", **{"validation.utterances": 2}, **settings)
    _, whole = train(tmp_path / "whole", **settings)
    assert "valid/all_correlation" not in some[0]
    assert some[1]["valid/all_correlation"] == whole[1]["valid/correlation"]
    assert some[1]["valid/correlation"] != whole[1]["valid/correlation"]
    assert not any(name.startswith("valid/all_") for name in whole[1])


def test_begins_with_the_generator_of_a_run_without_discriminator(tmp_path):
    with recipe_of(tiny_config()) as recipe:
        begins_with_a_generator_alone(recipe, tmp_path)


def test_a_file_of_targets_takes_the_place_of_one_target(tmp_path):
    path = tmp_path / "targets.csv"
    settings = {"rounds": 2, "validation.every": 2}
    _, asked_one = train(tmp_path / "one", target=0.25, **settings)
    path.write_text("".join(f"p{number},0.25\n" for number in range(len(LENGTHS))))
    _, asked_each = train(tmp_path / "each", targets=str(path), **settings)
    assert asked_each[1]["train/g_loss"] == pytest.approx(asked_one[1]["train/g_loss"], rel=1e-5)


def test_warmup_raises_the_score_and_learning_goes_on(tmp_path):
    _, rows = train(tmp_path, **{"warmup_rounds": 2, "validation.every": 1})
    assert rows[0]["train/g_loss"] > rows[1]["train/g_loss"]
    assert [row["round"] for row in rows] == [1, 2, 3, 4]
    assert all(0 < row["valid/correlation"] <= 1 for row in rows)
