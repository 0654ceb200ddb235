"""MetricGAN: its steps against NumPy, and its rounds."""

import contextlib
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import mix_corpus, pair_corpus
from tiny_runs import LENGTHS, RATE, close, equal, make_batch, play, tiny_config

from configs import metricgan as configs
from jaxgan.core import config as config_files
from jaxgan.core import devices, loop
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import UserError
from jaxgan.core.log import read
from jaxgan.core.players import adopt, load_players
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get, score_names
from jaxgan.speech.data.checks import DataReport
from jaxgan.speech.data.corpora import Corpora
from jaxgan.speech.networks.masking import as_float, enhance, make_denoiser, masked_feature
from jaxgan.speech.scored_batches import ScoredBatch
from jaxgan.speech.systems import metricgan
from jaxgan.speech.training import Training, enhance_step

NAMES = ("one", "two", "three")
NO_REPORT = DataReport((), ())


@contextlib.contextmanager
def recipe_of(config, corpora=None, count=1):
    corpora = corpora or Corpora(pair_corpus(LENGTHS, 2), pair_corpus(LENGTHS[:3], 1), NO_REPORT)
    scores = (*score_names(config.score), *config.validation.scores)
    pool = ScorePool(scores, 16000, config.scoring.workers, config.scoring.deadline_seconds)
    mesh = devices.make_mesh(count)
    training = Training(config, make_denoiser(config), mesh, corpora, pool)
    with contextlib.closing(metricgan.MetricGAN(config, training)) as recipe:
        yield recipe


@pytest.fixture(name="system", scope="module")
def small_system():
    return metricgan.make_system(tiny_config(**{"generator.dropout": 0.0}), NAMES)


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return jax.jit(functools.partial(metricgan.init, system=system))(jax.random.key(0))


def compiled(function, system):
    return jax.jit(functools.partial(function, system=system))


def predictions(system, state, candidates, batch, name="discriminator"):
    """D's prediction for each candidate, one utterance at a time and without padding."""
    predict = jax.jit(lambda *inputs: metricgan.predict(system, *inputs)[0])
    result = np.zeros((len(batch.lengths), len(candidates)))
    for row, length in enumerate(batch.lengths.tolist()):
        total = -(-length // 256) * 256
        clean = as_float(batch.clean[row : row + 1, :total])
        for kind, candidate in enumerate(candidates):
            made = as_float(candidate[row : row + 1, :total])
            features = [system.masking.feature_of(side) for side in (made, clean)]
            (result[row, kind],) = predict(state.players[name], *features, jnp.array([length]))
    return result


def first_adam_step(before, gradients):
    """Adam's first update is the learning rate times g / (|g| + epsilon)."""
    return jax.tree.map(lambda p, g: p - RATE * g / (jnp.abs(g) + 1e-8), before, gradients)


def test_discriminator_step_by_hand(system, state):
    batch = make_batch([9000, 7000])
    candidates = [batch.clean, batch.noisy // 2, batch.noisy]
    labels = jnp.array([[1.0, 0.6, 0.3], [1.0, 0.8, 0.2]])
    step = compiled(metricgan.discriminator_step, system)
    scored = ScoredBatch(batch.clean, candidates, labels[..., None], batch.lengths)
    moved, metrics = step(state, scored)
    by_hand = predictions(system, state, candidates, batch)
    np.testing.assert_allclose(metrics["prediction"][..., 0], by_hand, atol=1e-5)
    expected = np.sum(np.mean((by_hand - np.asarray(labels)) ** 2, axis=0))
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-5)

    def loss(params):
        total = 0.0
        player = state.players["discriminator"].replace(params=params)
        clean = system.masking.feature_of(as_float(batch.clean))
        for kind in range(3):
            made = system.masking.feature_of(as_float(candidates[kind]))
            value, _ = metricgan.predict(system, player, made, clean, batch.lengths)
            total += jnp.mean((value - labels[:, kind]) ** 2)
        return total

    before = state.players["discriminator"].params
    expected_params = first_adam_step(before, jax.jit(jax.grad(loss))(before))
    # Adam divides by |g|: where a gradient is all but zero its sign is rounding.
    for a, b in zip(
        jax.tree.leaves(moved.players["discriminator"].params),
        jax.tree.leaves(expected_params),
        strict=True,
    ):
        assert np.mean(np.abs(a - b) < 1e-4) > 0.98


def test_generator_step_by_hand(system, state):
    batch = make_batch([9000, 7000])
    moved, metrics = compiled(metricgan.generator_step, system)(state, batch)

    @jax.jit
    def predict(state):
        params = state.players["generator"].params
        made = enhance(system.masking, params, as_float(batch.noisy), batch.lengths)
        features = map(system.masking.feature_of, (made, as_float(batch.clean)))
        return metricgan.predict(system, state.players["discriminator"], *features, batch.lengths)

    values, _ = predict(state)
    assert float(metrics["g_loss"]) == pytest.approx(float(jnp.mean((values - 1) ** 2)), rel=1e-4)
    assert not equal(moved.players["generator"].params, state.players["generator"].params)


def test_generator_may_be_judged_on_the_masked_feature(system, state):
    system = dataclasses.replace(
        system, through_waveform=False, targets=np.full(len(NAMES), 0.25, np.float32)
    )
    batch = make_batch([9000, 7000])
    _, metrics = compiled(metricgan.generator_step, system)(state, batch)

    @jax.jit
    def predict(state):
        masking = system.masking
        noisy, clean = (masking.feature_of(as_float(x)) for x in (batch.noisy, batch.clean))
        params = {"params": state.players["generator"].params}
        mask = masking.generator.apply(params, noisy, masking.frames(batch.lengths))
        player = state.players["discriminator"]
        return metricgan.predict(system, player, mask * noisy, clean, batch.lengths)

    values, _ = predict(state)
    assert float(metrics["g_loss"]) == pytest.approx(
        float(jnp.mean((values - 0.25) ** 2)), rel=1e-4
    )


def test_every_utterance_may_have_its_own_target(system, state):
    batch = make_batch([9000, 7000]).replace(index=jnp.array([2, 0]))
    batches = [batch, *(batch.replace(lengths=batch.lengths.at[row].set(0)) for row in (1, 0))]

    def losses(*targets):
        asking = dataclasses.replace(system, targets=np.float32(targets))
        step = compiled(metricgan.generator_step, asking)
        return [float(step(state, given)[1]["g_loss"]) for given in batches]

    both, first, second = losses(0.3, 0.9, 0.6)
    assert first == pytest.approx(losses(0.6, 0.6, 0.6)[1], rel=1e-5)
    assert second == pytest.approx(losses(0.3, 0.3, 0.3)[2], rel=1e-5)
    assert both == pytest.approx((first + second) / 2, rel=1e-4)


def test_candidates_without_a_score_have_no_influence(system, state):
    batch = make_batch([9000, 7000, 8000])
    candidates = [batch.clean, batch.noisy]
    nan = jnp.nan
    labels = jnp.array([[1.0, 0.6], [1.0, nan], [1.0, 0.8]])
    step = compiled(metricgan.discriminator_step, system)
    with_nan, metrics = step(
        state, ScoredBatch(batch.clean, candidates, labels[..., None], batch.lengths)
    )
    # A candidate that cannot be scored may contain anything.
    other = [candidates[0], candidates[1].at[1].set(12345)]
    with_other, _ = step(state, ScoredBatch(batch.clean, other, labels[..., None], batch.lengths))
    close(with_nan.players, with_other.players, 1e-6)
    by_hand = predictions(system, state, candidates, batch)
    errors = (by_hand - np.asarray(labels)) ** 2
    expected = errors[:, 0].mean() + errors[[0, 2], 1].mean()
    assert float(metrics["d_loss"]) == pytest.approx(expected, rel=1e-5)


def test_each_score_has_its_own_discriminator():
    config = tiny_config(score="pesq_wb,stoi", score_weights=(0.5, 2.0))
    config.update_from_flattened_dict({"generator.dropout": 0.0, "through_waveform": False})
    system = metricgan.make_system(config, NAMES)
    state = compiled(metricgan.init, system)(jax.random.key(0))
    names = ("discriminator_pesq_wb", "discriminator_stoi")
    assert set(state.players) == {"generator", *names}
    assert not equal(*(state.players[name].params for name in names))

    batch = make_batch([9000, 7000])
    candidates = [batch.clean, batch.noisy]
    labels = jnp.array([[[1.0, 1.0], [0.6, 0.7]], [[1.0, 1.0], [jnp.nan, 0.8]]])
    scored = ScoredBatch(batch.clean, candidates, labels, batch.lengths)
    step = compiled(metricgan.discriminator_step, system)
    taught, metrics = step(state, scored)
    losses = []
    for number, name in enumerate(names):
        by_hand = predictions(system, state, candidates, batch, name)
        np.testing.assert_allclose(metrics["prediction"][..., number], by_hand, atol=1e-5)
        losses.append(np.nanmean((by_hand - np.asarray(labels[..., number])) ** 2, axis=0).sum())
        # The labels of the other score have no influence on it.
        alone = scored._replace(labels=labels.at[..., 1 - number].set(0.1))
        other, _ = step(state, alone)
        assert equal(other.players[name], taught.players[name])
        assert not equal(other.players[name].params, state.players[name].params)
    assert float(metrics["d_loss"]) == pytest.approx(sum(losses), rel=1e-5)
    assert equal(taught.players["generator"], state.players["generator"])

    led, metrics = compiled(metricgan.generator_step, system)(state, batch)

    @jax.jit
    def predict(state):
        params = state.players["generator"].params
        noisy, clean = (system.masking.feature_of(as_float(x)) for x in (batch.noisy, batch.clean))
        feature = masked_feature(system.masking, params, noisy, batch.lengths)
        return [
            metricgan.predict(system, state.players[name], feature, clean, batch.lengths)[0]
            for name in names
        ]

    parts = [float(jnp.mean((prediction - 1.0) ** 2)) for prediction in predict(state)]
    assert float(metrics["g_loss"]) == pytest.approx(0.5 * parts[0] + 2.0 * parts[1], rel=1e-4)
    assert all(equal(led.players[name], state.players[name]) for name in names)


def test_padding_changes_nothing(system, state):
    lengths = [9000, 7000]
    short, long = make_batch(lengths), make_batch(lengths, total=12800, rows=5)
    labels = jnp.array([[1.0, 0.6], [1.0, 0.8]])
    more = jnp.concatenate([labels, jnp.full((3, 2), jnp.nan)])
    step = compiled(metricgan.discriminator_step, system)
    scored = [
        ScoredBatch(batch.clean, [batch.clean, batch.noisy], known[..., None], batch.lengths)
        for batch, known in ((short, labels), (long, more))
    ]
    losses = [step(state, batch)[1]["d_loss"] for batch in scored]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    for function in (metricgan.generator_step, metricgan.warmup_step):
        step = compiled(function, system)
        losses = [step(state, b)[1]["g_loss"] for b in (short, long)]
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    params = state.players["generator"].params
    denoiser = make_denoiser(tiny_config(**{"generator.dropout": 0.0}))
    enhance = jax.jit(functools.partial(enhance_step, denoiser=denoiser))
    made = [enhance(params, b) for b in (short, long)]
    assert np.abs(np.asarray(made[0], int) - np.asarray(made[1][:2, :9216], int)).max() <= 1
    assert not made[1][2:].any()


def test_scores_are_the_same_wherever_they_are_computed():
    labels = []
    for scoring in ({"scoring.delay": 0}, {"scoring.delay": 1}, {"scoring.where": "device"}):
        with recipe_of(tiny_config(score="si_sdr", **scoring, **{"replay.share": 1.0})) as recipe:
            _, history, rows = play(recipe, 1)
            labels.append(history[0]["labels"])
            assert rows[0]["unscorable"] == 0
    np.testing.assert_allclose(labels[0], labels[1], atol=1e-6)
    np.testing.assert_allclose(labels[0], labels[2], atol=1e-4)


def test_recorded_labels_are_the_scores_of_the_recorded_speech():
    config = tiny_config()
    with recipe_of(config) as recipe:
        _, history, rows = play(recipe, 1)
        record = history[0]
        ends = np.cumsum(record["lengths"])
        for item, end in enumerate(ends):
            enhanced = record["enhanced"][end - record["lengths"][item] : end]
            clean = recipe.training.corpus.clean(int(record["index"][item]))
            truth = get(config.score)(clean, enhanced, 16000)
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
            clean = recipe.training.corpus.clean(int(record["index"][item]))
            truth = [
                score.normalise(score(clean, enhanced, 16000))
                for score in map(get, score_names(config.score))
            ]
            assert record["labels"][item] == pytest.approx(truth, abs=1e-5)
        on_devices = devices.put_replicated(state, recipe.training.mesh)
        evaluation = recipe.evaluate(on_devices, 2)()
    assert set(state.players) == {
        "generator",
        "discriminator_tiny_scores_correlation",
        "discriminator_si_sdr",
    }
    for name in ("tiny_scores.correlation", "si_sdr"):
        assert np.isfinite([row[f"d_mae_{name}"] for row in rows]).all()
    assert {"correlation", "si_sdr"} <= set(evaluation.metrics)
    assert evaluation.objective == evaluation.metrics["correlation"]


def test_a_discriminator_without_reference_learns_only_from_enhanced_and_noisy():
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


def test_the_unsupervised_preset_never_uses_clean_speech():
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
            Corpora(train, pair_corpus(LENGTHS[:3], 1), NO_REPORT),
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
def test_scores_and_weights_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        metricgan.make(tiny_config(**changes), devices.make_mesh(1))


@pytest.mark.parametrize(("score", "delay"), [("picky", 1), ("deadly", 0)])
def test_utterances_without_a_score_do_not_stop_the_run(score, delay):
    config = tiny_config(score=f"tiny_scores.{score}", **{"scoring.delay": delay})
    with recipe_of(config) as recipe:
        state, history, rows = play(recipe, 2)
    odd = sum(length % 2 for length in LENGTHS)
    assert odd == 1
    assert [row["unscorable"] for row in rows] == [odd, odd]
    assert len(history[0]["labels"]) == len(LENGTHS) - odd
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.players))


def test_a_score_that_no_utterance_has_is_reported_at_once():
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
def test_bad_settings_are_refused_by_name(key, value):
    config = tiny_config(**{key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        metricgan.make(config, devices.make_mesh())


def test_learns_from_new_mixtures_in_every_round():
    corpora = Corpora(mix_corpus(LENGTHS, [20000, 5000]), pair_corpus(LENGTHS[:3], 1), NO_REPORT)
    with recipe_of(tiny_config(), corpora) as recipe:
        _, _, rows = play(recipe, 2)
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert rows[1]["replayed"] > 0


@pytest.mark.parametrize("order", ["generator_first", "discriminator_first"])
def test_generator_waits_until_the_discriminator_has_learned(order):
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


def test_the_last_round_is_validated_on_all_that_is_held_out(tmp_path):
    settings = {"rounds": 2, "validation.every": 1}
    _, some = train(tmp_path / "some", **{"validation.utterances": 2}, **settings)
    _, whole = train(tmp_path / "whole", **settings)
    assert "valid/all_correlation" not in some[0]
    assert some[1]["valid/all_correlation"] == whole[1]["valid/correlation"]
    assert some[1]["valid/correlation"] != whole[1]["valid/correlation"]
    assert not any(name.startswith("valid/all_") for name in whole[1])


def test_starts_from_the_generator_of_a_run_without_discriminator(tmp_path):
    with recipe_of(tiny_config()) as recipe:
        state, other = (recipe.init(jax.random.key(seed)) for seed in (1, 2))
        alone = other.replace(players={"generator": other.players["generator"]})
        with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
            checkpoints.save(alone, (), Position(1))
        adopted = adopt(state, tmp_path, optional=recipe.optional_players)
    assert equal(adopted.players["generator"].params, other.players["generator"].params)
    assert equal(adopted.players["discriminator"], state.players["discriminator"])


def test_a_file_of_targets_replaces_the_single_target(tmp_path):
    path = tmp_path / "targets.csv"
    settings = {"rounds": 2, "validation.every": 2}
    _, asked_one = train(tmp_path / "one", target=0.25, **settings)
    path.write_text("".join(f"p{number},0.25\n" for number in range(len(LENGTHS))))
    _, asked_each = train(tmp_path / "each", targets=str(path), **settings)
    assert asked_each[1]["train/g_loss"] == pytest.approx(asked_one[1]["train/g_loss"], rel=1e-5)


def test_warmup_raises_the_score_and_adversarial_rounds_follow(tmp_path):
    _, rows = train(tmp_path, **{"warmup_rounds": 2, "validation.every": 1})
    assert rows[0]["train/g_loss"] > rows[1]["train/g_loss"]
    assert [row["round"] for row in rows] == [1, 2, 3, 4]
    assert all(0 < row["valid/correlation"] <= 1 for row in rows)


def test_a_discriminator_of_another_score_is_left_out(tmp_path, capsys):
    config_files.write(tiny_config(score="stoi"), tmp_path)
    config = tiny_config(score="stoi", init_from=str(tmp_path))
    assert metricgan.unfit_discriminators(config, ("discriminator",)) == ()
    config.score_map = "range"
    config.score = "pesq_wb"
    assert metricgan.unfit_discriminators(config, ("discriminator",)) == ("discriminator",)
    assert capsys.readouterr().out == (
        f"{tmp_path}: its discriminator has learned 'stoi' (paper), not 'pesq_wb' (range), so the "
        "one of this run starts from random parameters\n"
    )
    config.init_from = ""
    assert metricgan.unfit_discriminators(config, ("discriminator",)) == ()
