"""Several scores at once: losses by hand, weights obeyed and logged, which checkpoint is best."""

import contextlib
import dataclasses
import functools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import equal, make_batch, play

from configs import enhancer as enhancer_config
from configs import metricgan as metricgan_config
from jaxgan.core import devices, metrics
from jaxgan.core.errors import UserError
from jaxgan.scores.registry import get
from jaxgan.speech import losses
from jaxgan.speech.networks import masking
from jaxgan.speech.networks.masking import as_float, as_int16
from jaxgan.speech.networks.stft import FrontEnd, istft, stft
from jaxgan.speech.systems import enhancer

FRONT_END = FrontEnd()


def make_system(
    weighting="equal_norm", weights=(), spectral=1.0, score="si_sdr", network="dual_path"
):
    config = enhancer_config.get_config("tiny")
    if network == "mask":
        config.network, config.generator = network, metricgan_config.get_config("tiny").generator
    config.score, config.score_weights = score, weights
    config.weighting, config.spectral_weight = weighting, spectral
    if network == "dual_path":
        config.generator.dilations = (1,)
    config.generator_learning_rate = config.discriminator_learning_rate = 0.01
    mesh = devices.make_mesh(1)
    training = SimpleNamespace(mesh=mesh, scores_of=lambda *_: SimpleNamespace(in_step=judge))
    return enhancer.make_system(config, training)


def judge(clean, enhanced, lengths):
    """A score that is the share of enhanced samples that are positive; row 1 has none."""
    positive = jnp.sum(enhanced > 0, axis=1) / jnp.maximum(lengths, 1)
    found = positive.at[1].set(jnp.nan).astype(jnp.float32)[:, None]
    return found, found


def start(system):
    return jax.jit(functools.partial(enhancer.init, system=system))(jax.random.key(0))


@pytest.fixture(scope="module")
def run():
    """A system with constant weights, its first state, and its compiled step."""
    system = dataclasses.replace(make_system("constant", (2.0,), 3.0), average_decay=0.0)
    state = start(system)
    return system, state, jax.jit(functools.partial(enhancer.step, system=system))


def batch_without_a_score():
    """Three utterances, of which the second has a silent reference, and a padding row."""
    batch = make_batch([2500, 2000, 2560], total=2816, rows=4)
    return batch.replace(clean=batch.clean.at[1].set(0))


def numbers(found):
    return metrics.of_round([jax.device_get(found)])


def spectral_reference(clean, enhanced):
    """The spectral loss of one utterance, frame by frame in float64."""
    blocks = [
        np.pad(side / clean.std(), (256, 256 + -len(side) % 256)) for side in (clean, enhanced)
    ]
    frames = [np.stack([b[s : s + 512] for s in range(0, len(b) - 256, 256)]) for b in blocks]
    spectra = [np.fft.rfft(f * np.hamming(512)) for f in frames]
    sizes = [np.abs(s) ** 0.3 for s in spectra]
    one, other = (s * np.abs(s) ** -0.7 for s in spectra)
    difference = 0.3 * np.abs(one - other) ** 2 + 0.7 * (sizes[0] - sizes[1]) ** 2
    return difference.mean() / np.mean(sizes[0] ** 2)


def test_the_spectral_loss_is_that_of_the_formula():
    batch = make_batch([2500], total=2816)
    clean, noisy = as_float(batch.clean), as_float(batch.noisy)
    clean -= jnp.where(jnp.arange(2816) < 2500, jnp.mean(clean[:, :2500]), 0)
    found = losses.compressed_spectral_loss(clean, noisy, batch.lengths, FRONT_END)
    expected = spectral_reference(*(np.asarray(s, np.float64)[0, :2500] for s in (clean, noisy)))
    assert float(found) == pytest.approx(expected, rel=2e-3)


def test_the_spectral_loss_is_0_for_equal_sides_1_for_silence_and_ignores_level_and_padding():
    batch = make_batch([2500, 2000], total=2816, rows=3)
    clean, noisy, lengths = as_float(batch.clean), as_float(batch.noisy), batch.lengths
    measure = functools.partial(losses.compressed_spectral_loss, front_end=FRONT_END)
    compiled = jax.jit(measure)

    def loss(*sides, lengths=lengths):
        return float(compiled(*sides, lengths))

    assert loss(clean, clean) == 0
    assert loss(clean, 0 * clean) == pytest.approx(1, abs=0.03)
    value = loss(clean, noisy)
    assert 0.01 < value < 1
    assert loss(clean / 50, noisy / 50) == pytest.approx(value, rel=1e-5)
    unpadded = [side[:2, :2560] for side in (clean, noisy)]
    assert loss(*unpadded, lengths=lengths[:2]) == pytest.approx(value, rel=1e-5)
    assert loss(0 * clean, noisy) == 0
    gradient = jax.jit(jax.grad(measure, 1))(clean, 0 * clean, lengths)
    assert np.isfinite(gradient).all()


def no_norms(*names):
    """The average of the norms before the first batch."""
    return enhancer.Norms(dict.fromkeys(names, jnp.zeros(())), jnp.zeros(()))


def norm_of(gradient, noisy, lengths):
    """`enhancer.norm_of_gains` from the waveform of each frame and frequency by itself.

    The enhanced waveform is the sum of them times their gains.
    """
    norms = []
    for row, length in enumerate(np.asarray(lengths)):
        if length:
            spectrum = stft(noisy[row : row + 1], FRONT_END)
            places = np.moveaxis(np.indices(spectrum.shape[1:]), 0, -1).reshape(-1, 2)
            made = jax.vmap(
                lambda place, s=spectrum, n=length: istft(
                    jnp.zeros_like(s).at[0, place[0], place[1]].set(s[0, place[0], place[1]]),
                    jnp.array([n]),
                    FRONT_END,
                )[0]
            )
            own = np.asarray(gradient[row], np.float64)
            norms.append(np.linalg.norm(np.asarray(jax.jit(made)(places), np.float64) @ own))
    return np.mean(norms)


@pytest.mark.parametrize("weighting", ["equal_norm", "constant"])
def test_weights_are_obeyed_and_logged(weighting):
    system = make_system(weighting, (2.0,), 3.0)
    weights = {"si_sdr": 2.0, "spectral": 3.0}
    combine = jax.jit(functools.partial(enhancer.combined_gradient, system, {}))
    after, norms = no_norms(*weights), []
    for lengths in ([2500, 2000, 2560], [2500, 1000]):
        batch = make_batch(lengths, total=2816, rows=4)
        clean, noisy = as_float(batch.clean), as_float(batch.noisy)
        gradient, after, found = combine(after, noisy, batch)
        found = numbers(found)
        own = {}
        for name in weights:
            differentiate = jax.jit(jax.value_and_grad(system.objectives[name], has_aux=True))
            (value, _), own[name] = differentiate(noisy, clean, batch.lengths)
            assert found[f"loss_{name}"] == pytest.approx(float(value), rel=1e-5)
        norms.append({name: norm_of(own[name], noisy, batch.lengths) for name in weights})
        # Each batch counts 1 / 0.99 times as much as the one before.
        counts = enhancer.NORM_DECAY ** np.arange(len(norms))[::-1]
        expected, total = np.zeros(noisy.shape), 0.0
        for name, weight in weights.items():
            average = np.average([each[name] for each in norms], weights=counts)
            factor = weight / average if weighting == "equal_norm" else weight
            expected += factor * np.asarray(own[name], np.float64)
            total += weight * found[f"loss_{name}"]
            assert found[f"norm_{name}"] == pytest.approx(norms[-1][name], rel=1e-4)
            assert found[f"factor_{name}"] == pytest.approx(factor, rel=1e-4)
        np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())
        assert found["g_loss"] == pytest.approx(total, rel=1e-5)


def test_the_norm_of_gains_does_not_depend_on_the_level_or_on_padding():
    system = make_system("equal_norm", (2.0,), 3.0)
    batch = make_batch([2500, 2000], total=2816, rows=3)
    clean, noisy = as_float(batch.clean), as_float(batch.noisy)

    def norm(level, rows):
        sides = (level * noisy[:rows], level * clean[:rows])
        of_waves = jax.grad(lambda made: system.objectives["si_sdr"](made, *rest)[0])
        rest = (sides[1], batch.lengths[:rows])
        found = of_waves(sides[0])
        return float(enhancer.norm_of_gains(found, stft(sides[0], FRONT_END), rest[1], FRONT_END))

    assert norm(1.0, 3) == pytest.approx(norm(1.0, 2), rel=1e-5)
    assert norm(0.01, 2) == pytest.approx(norm(1.0, 2), rel=1e-3)


def test_constant_weights_move_as_the_gradient_of_the_weighted_sum(run):
    system, state, step = run
    batch = batch_without_a_score()
    clean, noisy = as_float(batch.clean), as_float(batch.noisy)

    def whole(params):
        made = system.denoiser.enhance(params, noisy, batch.lengths)
        values = {name: of(made, clean, batch.lengths)[0] for name, of in system.objectives.items()}
        return sum(system.weights[name] * value for name, value in values.items())

    player = state.players["generator"]
    gradient = jax.jit(jax.grad(whole))(player.params)
    updates, _ = system.optimizer.update(gradient, player.opt_state, player.params)
    moved, _ = step(state, batch)
    after = moved.players["generator"].params
    differences = [
        np.abs(np.asarray(new - old - change)).ravel()
        for new, old, change in zip(
            *map(jax.tree.leaves, (after, player.params, updates)), strict=True
        )
    ]
    # Adam divides by |g|: where a gradient is nearly zero, its sign is rounding.
    assert np.mean(np.concatenate(differences) < 1e-5) > 0.99


def test_all_losses_fall_and_unscorable_utterances_take_no_part(run):
    system, state, step = run
    batch, rows = batch_without_a_score(), []
    for _ in range(30):
        state, found = step(state, batch)
        rows.append(numbers(found))
        assert rows[-1]["unscorable_si_sdr"] == 1
        assert rows[-1]["score_si_sdr"] == pytest.approx(1 - rows[-1]["loss_si_sdr"], abs=1e-5)
    for name in system.objectives:
        assert rows[-1][f"loss_{name}"] < rows[0][f"loss_{name}"] - 0.001, name


def test_the_network_may_be_a_mask_network():
    system = make_system(network="mask")
    state, batch = start(system), make_batch([2500, 2000], total=2816)
    config = metricgan_config.get_config("tiny")
    noisy, params = as_float(batch.noisy), state.players["generator"].params
    found = jax.jit(system.denoiser.enhance)(params, noisy, batch.lengths)
    made = masking.enhance(masking.make_masking(config), params, noisy, batch.lengths)
    np.testing.assert_allclose(found, made, atol=1e-6)
    step, losses_of = jax.jit(functools.partial(enhancer.step, system=system)), []
    for _ in range(10):
        state, metrics_of_step = step(state, batch)
        losses_of.append(numbers(metrics_of_step)["g_loss"])
    assert losses_of[-1] < losses_of[0]


def test_a_batch_without_any_score_moves_by_the_other_losses():
    system = make_system(score="si_sdr", spectral=0.0)
    batch = make_batch([2500], total=2816)
    batch = batch.replace(clean=0 * batch.clean)
    gradient, _, found = jax.jit(functools.partial(enhancer.combined_gradient, system, {}))(
        no_norms("si_sdr"), as_float(batch.noisy), batch
    )
    assert not np.asarray(gradient).any()
    assert numbers(found)["factor_si_sdr"] == 0


def test_the_best_checkpoint_has_no_score_below_the_noisy_speech():
    scores = {name: get(name) for name in ("pesq_wb", "stoi", "lsd")}
    noisy = {"pesq_wb_noisy": 1.5, "stoi_noisy": 0.8, "lsd_noisy": 10.0}

    def objective(pesq_wb, stoi, lsd):
        return enhancer.combined_objective(
            {**noisy, "pesq_wb": pesq_wb, "stoi": stoi, "lsd": lsd}, scores
        )

    assert objective(2.0, 0.86, 8.0) == pytest.approx((0.5 / 5 + 0.06 + 2 / 50) / 3)
    assert objective(3.0, 0.79, 5.0) == pytest.approx(-0.01)
    assert objective(3.0, 0.79, 5.0) < objective(1.5, 0.8, 10.0) == 0
    assert objective(2.0, 0.86, 11.0) == pytest.approx(-1 / 50)  # lower is better for lsd
    assert math.isnan(objective(math.nan, 0.86, 8.0))


def test_a_score_without_a_gradient_gets_a_discriminator_that_learns_it():
    system = make_system(score="tiny_scores.correlation", weights=(2.0,), spectral=0.0)
    player = system.surrogates["correlation"]
    assert player == "discriminator_correlation"
    assert not system.objectives
    state = start(system)
    batch = make_batch([5000, 4000, 4500], total=5120, rows=4)
    clean, noisy, lengths = as_float(batch.clean), as_float(batch.noisy), batch.lengths
    generate = jax.jit(system.denoiser.enhance)
    made = as_int16(generate(state.players["generator"].params, noisy, lengths))
    labels = np.asarray(judge(batch.clean, made, lengths)[0])[:, 0]

    predict = jax.jit(lambda own, side: enhancer.predict(system, own, side, clean, lengths)[0])
    of_clean, of_made = (
        np.asarray(predict(state.players[player], side)) for side in (clean, as_float(made))
    )
    expected = np.mean((of_clean[:3] - 1) ** 2) + np.mean((of_made - labels)[[0, 2]] ** 2)
    teach = jax.jit(functools.partial(enhancer.teach, system=system))
    taught, found = teach(state, batch)
    found = numbers(found)
    # The power iterations of spectral normalisation advance between clean and enhanced speech.
    assert found["d_loss"] == pytest.approx(expected, rel=0.2)
    assert found["score_correlation"] == pytest.approx(labels[[0, 2]].mean(), abs=1e-6)
    assert found["unscorable_correlation"] == 1
    assert equal(taught.players["generator"], state.players["generator"])
    for _ in range(20):
        taught, found = teach(taught, batch)
    assert numbers(found)["d_loss"] < 0.7 * expected

    # G lowers the distance of the prediction from 1.
    objective = jax.jit(enhancer.of_surrogate(system, taught.players[player]))
    of_noisy = np.asarray(predict(taught.players[player], noisy))
    value, _ = objective(noisy, clean, lengths)
    assert float(value) == pytest.approx(np.mean((of_noisy[:3] - 1) ** 2), rel=1e-4)


def test_a_run_on_a_score_of_the_users_moves_both_players_and_is_judged_by_all_scores():
    config = enhancer_config.get_config("tiny")
    config.score, config.scoring.where = "tiny_scores.correlation", "auto"
    config.validation.scores = ("si_sdr",)
    config.scoring.workers, config.spectral_weight = 1, 0.0
    with contextlib.closing(enhancer.make(config, devices.make_mesh(1))) as recipe:
        first = recipe.init(jax.random.key(3))
        evaluation = recipe.evaluate(first, 1)()
        before = jax.device_get(first)
        after, _, (row,) = play(recipe, 1)
    for player in ("generator", "discriminator_correlation"):
        assert not equal(before.players[player].params, after.players[player].params)
    assert {"d_loss", "score_correlation", "loss_correlation"} <= set(row)
    assert row["factor_correlation"] * row["norm_correlation"] == pytest.approx(1, rel=1e-3)
    names = {"si_sdr": get("si_sdr"), "correlation": get("tiny_scores.correlation")}
    expected = enhancer.combined_objective(evaluation.metrics, names)
    assert evaluation.objective == evaluation.metrics["objective"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("score", "si_sdr,si_sdr", "score=si_sdr,si_sdr: name each score once"),
        ("discriminator.kernels", (5,), r"discriminator\.kernels=\(5,\)"),
        ("score_weights", (1.0, 2.0), r"score_weights=\(1\.0, 2\.0\): give one"),
        ("weighting", "equal", "weighting=equal: choose one of equal_norm, constant"),
        ("generator.taps", 4, "generator.taps=4: must be odd"),
        ("generator.dilations", (1, 0), r"generator.dilations=\(1, 0\): give one"),
        ("spectral_weight", -1.0, "spectral_weight=-1.0: must be 0 or more"),
        ("data.t60", (0.5, 0.2), r"data\.t60=\(0\.5, 0\.2\)"),
    ],
)
def test_invalid_settings_are_named(key, value, message):
    config = enhancer_config.get_config("tiny")
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        enhancer.make(config, devices.make_mesh(1))
