"""The steps of MetricGAN against hand-written NumPy, and the recipe as a whole."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import mix_corpus, pair_corpus
from ml_collections import ConfigDict

from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.players import load_players
from jaxgan.core.timer import Timer
from jaxgan.scores.pool import ScorePool
from jaxgan.speech import metricgan
from jaxgan.speech.batching import Batch
from jaxgan.speech.data import Corpora
from jaxgan.speech.settings import data_settings

RATE = 0.01
LENGTHS = [9000, 8000, 7001, 9216, 6500, 8800, 7700, 9100]


def tiny_config(**changes):
    config = ConfigDict(
        {
            "seed": 3,
            "rounds": 4,
            "batch_size": 8,
            "utterances_per_round": 8,
            "dtype": "float32",
            "score": "tiny_scores.correlation",
            "score_map": "paper",
            "target": 1.0,
            "scoring": {"where": "host", "delay": 0, "workers": 2, "deadline_seconds": 20.0},
            "front_end": {"sample_rate": 16000, "hop": 256},
            "feature": "log1p",
            "through_waveform": True,
            "generator": {
                "layers": 1,
                "width": 8,
                "dense": 8,
                "dropout": 0.1,
                "floor": 0.05,
                "learnable_sigmoid": True,
                "normalise": True,
            },
            "discriminator": {"channels": (3, 4), "kernels": (5, 3), "dense": (5,)},
            "order": "discriminator_first",
            "noisy_teaches": True,
            "replay": {"share": 0.5, "clean": False},
            "generator_learning_rate": RATE,
            "discriminator_learning_rate": RATE,
            "adam_b1": 0.9,
            "adam_b2": 0.999,
            "gradient_clip": 0.0,
            "warmup_rounds": 0,
            "warmup_learning_rate": RATE,
            "validation": {"every": 2, "scores": ()},
            "checkpoint": {"every": 2},
        }
    )
    config.data = data_settings()
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(name="system", scope="module")
def small_system():
    return metricgan.make_system(tiny_config(**{"generator.dropout": 0.0}))


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return metricgan.init(jax.random.key(0), system=system)


def make_batch(lengths, total=9216, rows=None, seed=0):
    """A batch of noise; the rows behind those of `lengths` only fill."""
    random = np.random.default_rng(seed)
    clean, noisy = np.zeros((2, rows or len(lengths), total), np.int16)
    for row, length in enumerate(lengths):
        clean[row, :length] = random.integers(-8000, 8000, length)
        noisy[row, :length] = clean[row, :length] // 2 + random.integers(-4000, 4000, length)
    filling = len(clean) - len(lengths)
    return Batch(
        clean=jnp.asarray(clean),
        noisy=jnp.asarray(noisy),
        lengths=jnp.asarray([*lengths, *[0] * filling], jnp.int32),
        index=jnp.arange(len(clean)),
        gain=jnp.ones(len(clean)),
    )


def equal(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(bool(jnp.array_equal(a, b)) for a, b in leaves)


def close(one, other, tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


def predictions(system, state, candidates, batch):
    """D's word on each candidate by itself, one utterance at a time and without padding."""
    result = np.zeros(candidates.shape[:2])
    for row, length in enumerate(batch.lengths.tolist()):
        total = -(-length // 256) * 256
        clean = metricgan.as_float(batch.clean[row : row + 1, :total])
        for kind in range(candidates.shape[1]):
            made = metricgan.as_float(candidates[row : row + 1, kind, :total])
            features = [system.masking.feature_of(side) for side in (made, clean)]
            value, _ = metricgan.judge(
                system,
                state.players["discriminator"],
                *features,
                jnp.array([length]),
            )
            result[row, kind] = value[0]
    return result


def first_adam_step(before, gradients):
    """Adam's first update is the learning rate times g / (|g| + epsilon)."""
    return jax.tree.map(lambda p, g: p - RATE * g / (jnp.abs(g) + 1e-8), before, gradients)


def test_discriminator_step_by_hand(system, state):
    batch = make_batch([9000, 7000])
    candidates = jnp.stack([batch.clean, batch.noisy // 2, batch.noisy], axis=1)
    labels = jnp.array([[1.0, 0.6, 0.3], [1.0, 0.8, 0.2]])
    moved, metrics = metricgan.discriminator_step(
        state, batch.clean, candidates, labels, batch.lengths, system=system
    )
    by_hand = predictions(system, state, candidates, batch)
    np.testing.assert_allclose(metrics["prediction"], by_hand, atol=1e-5)
    expected = np.sum(np.mean((by_hand - np.asarray(labels)) ** 2, axis=0))
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)

    def loss(params):
        total = 0.0
        player = state.players["discriminator"].replace(params=params)
        clean = system.masking.feature_of(metricgan.as_float(batch.clean))
        for kind in range(3):
            made = system.masking.feature_of(metricgan.as_float(candidates[:, kind]))
            value, _ = metricgan.judge(system, player, made, clean, batch.lengths)
            total += jnp.mean((value - labels[:, kind]) ** 2)
        return total

    before = state.players["discriminator"].params
    expected_params = first_adam_step(before, jax.grad(loss)(before))
    # Adam divides by |g|: where a gradient is all but zero its sign is rounding.
    for a, b in zip(
        jax.tree.leaves(moved.players["discriminator"].params),
        jax.tree.leaves(expected_params),
        strict=True,
    ):
        assert np.mean(np.abs(a - b) < 1e-4) > 0.98


def test_generator_step_by_hand(system, state):
    batch = make_batch([9000, 7000])
    moved, metrics = metricgan.generator_step(state, batch, system=system)
    made = metricgan.enhance(
        system.masking,
        state.players["generator"].params,
        metricgan.as_float(batch.noisy),
        batch.lengths,
    )
    values, _ = metricgan.judge(
        system,
        state.players["discriminator"],
        system.masking.feature_of(made),
        system.masking.feature_of(metricgan.as_float(batch.clean)),
        batch.lengths,
    )
    assert float(metrics["loss"]) == pytest.approx(float(jnp.mean((values - 1) ** 2)), rel=1e-4)
    assert not equal(moved.players["generator"].params, state.players["generator"].params)


def test_generator_is_judged_on_its_mask_where_the_recipe_says_so(system, state):
    system = dataclasses.replace(system, through_waveform=False, target=0.25)
    batch = make_batch([9000, 7000])
    _, metrics = metricgan.generator_step(state, batch, system=system)
    noisy = system.masking.feature_of(metricgan.as_float(batch.noisy))
    mask = system.masking.generator.apply(
        {"params": state.players["generator"].params}, noisy, system.masking.frames(batch.lengths)
    )
    values, _ = metricgan.judge(
        system,
        state.players["discriminator"],
        mask * noisy,
        system.masking.feature_of(metricgan.as_float(batch.clean)),
        batch.lengths,
    )
    assert float(metrics["loss"]) == pytest.approx(float(jnp.mean((values - 0.25) ** 2)), rel=1e-4)


def test_each_step_moves_one_player(system, state):
    batch = make_batch([9000, 7000])
    candidates = jnp.stack([batch.clean, batch.noisy], axis=1)
    labels = jnp.array([[1.0, 0.6], [1.0, 0.8]])
    taught, _ = metricgan.discriminator_step(
        state, batch.clean, candidates, labels, batch.lengths, system=system
    )
    assert equal(taught.players["generator"], state.players["generator"])
    assert not equal(taught.players["discriminator"].params, state.players["discriminator"].params)
    for step in (metricgan.generator_step, metricgan.warmup_step):
        led, _ = step(state, batch, system=system)
        assert equal(led.players["discriminator"], state.players["discriminator"])
        assert not equal(led.players["generator"].params, state.players["generator"].params)


def test_candidates_without_a_score_take_no_part(system, state):
    batch = make_batch([9000, 7000, 8000])
    candidates = jnp.stack([batch.clean, batch.noisy], axis=1)
    nan = jnp.nan
    labels = jnp.array([[1.0, 0.6], [1.0, nan], [1.0, 0.8]])
    step = functools.partial(metricgan.discriminator_step, system=system)
    with_nan, metrics = step(state, batch.clean, candidates, labels, batch.lengths)
    # What cannot be scored may hold anything.
    other = candidates.at[1, 1].set(12345)
    with_other, _ = step(state, batch.clean, other, labels, batch.lengths)
    close(with_nan.players, with_other.players, 1e-6)
    by_hand = predictions(system, state, candidates, batch)
    errors = (by_hand - np.asarray(labels)) ** 2
    expected = errors[:, 0].mean() + errors[[0, 2], 1].mean()
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


def test_padding_changes_nothing(system, state):
    lengths = [9000, 7000]
    short, long = make_batch(lengths), make_batch(lengths, total=12800, rows=5)
    labels = jnp.array([[1.0, 0.6], [1.0, 0.8]])
    more = jnp.concatenate([labels, jnp.full((3, 2), jnp.nan)])
    step = functools.partial(metricgan.discriminator_step, system=system)
    losses = [
        step(state, b.clean, jnp.stack([b.clean, b.noisy], axis=1), known, b.lengths)[1]["loss"]
        for b, known in ((short, labels), (long, more))
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    for function in (metricgan.generator_step, metricgan.warmup_step):
        losses = [function(state, b, system=system)[1]["loss"] for b in (short, long)]
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    made = [metricgan.enhance_step(state, b, system=system) for b in (short, long)]
    assert np.abs(np.asarray(made[0], int) - np.asarray(made[1][:2, :9216], int)).max() <= 1
    assert not made[1][2:].any()


@contextlib.contextmanager
def recipe_of(config, corpora=None, count=None):
    corpora = corpora or Corpora(pair_corpus(LENGTHS, 2), pair_corpus(LENGTHS[:3], 1), None)
    scores = (config.score, *config.validation.scores)
    pool = ScorePool(scores, 16000, config.scoring.workers, config.scoring.deadline_seconds)
    recipe = metricgan.MetricGAN(config, devices.make_mesh(count), corpora, pool)
    with contextlib.closing(recipe):
        yield recipe


def play(recipe, rounds):
    state, history, rows = recipe.init(jax.random.key(recipe.config.seed)), (), []
    for number in range(1, rounds + 1):
        state, record, metrics = recipe.round(state, history, number, Timer())
        history = (*history, record)
        rows.append(metrics)
    return jax.device_get(state), history, rows


def test_one_device_equals_eight():
    results = []
    for count in (1, 8):
        with recipe_of(tiny_config(), count=count) as recipe:
            results.append(play(recipe, 2))
    (one, one_history, one_rows), (eight, eight_history, eight_rows) = results
    close(one.players, eight.players, 5e-4)
    for name, value in one_rows[0].items():
        assert value == pytest.approx(eight_rows[0][name], abs=1e-4), name
    for a, b in zip(one_history, eight_history, strict=True):
        np.testing.assert_array_equal(np.sort(a["index"]), np.sort(b["index"]))


def test_scores_asked_inside_the_step_equal_those_asked_outside():
    labels = []
    for delay in (0, 1):
        config = tiny_config(**{"scoring.delay": delay, "replay.share": 1.0})
        with recipe_of(config) as recipe:
            _, history, rows = play(recipe, 1)
            labels.append(history[0]["labels"])
            assert rows[0]["unscorable"] == 0
    np.testing.assert_allclose(labels[0], labels[1], atol=1e-6)


def test_labels_are_the_scores_of_the_utterances_kept_for_replay():
    with recipe_of(tiny_config()) as recipe:
        _, history, rows = play(recipe, 1)
        record = history[0]
        ends = np.cumsum(record["lengths"])
        for item, end in enumerate(ends):
            enhanced = record["enhanced"][end - record["lengths"][item] : end]
            clean = recipe.corpus.clean(int(record["index"][item]))
            truth = recipe.score(clean, enhanced, 16000)
            assert record["labels"][item] == pytest.approx(truth, abs=1e-5)
        assert rows[0]["label"] == pytest.approx(record["labels"].mean(), abs=1e-5)


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
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = tiny_config(**{key: value})
    with pytest.raises(UserError, match=key.replace(".", r"\.")):
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


def test_warmup_raises_the_score_and_learning_goes_on(tmp_path):
    _, rows = train(tmp_path, **{"warmup_rounds": 2, "validation.every": 1})
    assert rows[0]["train/g_loss"] > rows[1]["train/g_loss"]
    assert [row["round"] for row in rows] == [1, 2, 3, 4]
    assert all(0 < row["valid/correlation"] <= 1 for row in rows)
