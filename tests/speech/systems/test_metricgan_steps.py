"""The steps of MetricGAN against hand-written NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import RATE, close, equal, make_batch, tiny_config

from jaxgan.speech.denoiser import make_denoiser
from jaxgan.speech.networks.masking import as_float, enhance, masked_feature
from jaxgan.speech.systems import metricgan_steps
from jaxgan.speech.systems.metricgan_steps import Lesson
from jaxgan.speech.training import enhance_step


@pytest.fixture(name="system", scope="module")
def small_system():
    return metricgan_steps.make_system(tiny_config(**{"generator.dropout": 0.0}))


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return metricgan_steps.init(jax.random.key(0), system=system)


def predictions(system, state, candidates, batch, name="discriminator"):
    """D's word on each candidate by itself, one utterance at a time and without padding."""
    judge = jax.jit(lambda *inputs: metricgan_steps.judge(system, *inputs)[0])
    result = np.zeros((len(batch.lengths), len(candidates)))
    for row, length in enumerate(batch.lengths.tolist()):
        total = -(-length // 256) * 256
        clean = as_float(batch.clean[row : row + 1, :total])
        for kind, candidate in enumerate(candidates):
            made = as_float(candidate[row : row + 1, :total])
            features = [system.masking.feature_of(side) for side in (made, clean)]
            (result[row, kind],) = judge(state.players[name], *features, jnp.array([length]))
    return result


def first_adam_step(before, gradients):
    """Adam's first update is the learning rate times g / (|g| + epsilon)."""
    return jax.tree.map(lambda p, g: p - RATE * g / (jnp.abs(g) + 1e-8), before, gradients)


def test_discriminator_step_by_hand(system, state):
    batch = make_batch([9000, 7000])
    candidates = [batch.clean, batch.noisy // 2, batch.noisy]
    labels = jnp.array([[1.0, 0.6, 0.3], [1.0, 0.8, 0.2]])
    teach = jax.jit(functools.partial(metricgan_steps.discriminator_step, system=system))
    lesson = Lesson(batch.clean, candidates, labels[..., None], batch.lengths)
    moved, metrics = teach(state, lesson)
    by_hand = predictions(system, state, candidates, batch)
    np.testing.assert_allclose(metrics["prediction"][..., 0], by_hand, atol=1e-5)
    expected = np.sum(np.mean((by_hand - np.asarray(labels)) ** 2, axis=0))
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)

    def loss(params):
        total = 0.0
        player = state.players["discriminator"].replace(params=params)
        clean = system.masking.feature_of(as_float(batch.clean))
        for kind in range(3):
            made = system.masking.feature_of(as_float(candidates[kind]))
            value, _ = metricgan_steps.judge(system, player, made, clean, batch.lengths)
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
    moved, metrics = metricgan_steps.generator_step(state, batch, system=system)
    made = enhance(
        system.masking,
        state.players["generator"].params,
        as_float(batch.noisy),
        batch.lengths,
    )
    values, _ = metricgan_steps.judge(
        system,
        state.players["discriminator"],
        system.masking.feature_of(made),
        system.masking.feature_of(as_float(batch.clean)),
        batch.lengths,
    )
    assert float(metrics["loss"]) == pytest.approx(float(jnp.mean((values - 1) ** 2)), rel=1e-4)
    assert not equal(moved.players["generator"].params, state.players["generator"].params)


def test_generator_is_judged_on_its_mask_where_the_recipe_says_so(system, state):
    system = dataclasses.replace(system, through_waveform=False, target=0.25)
    batch = make_batch([9000, 7000])
    _, metrics = metricgan_steps.generator_step(state, batch, system=system)
    noisy = system.masking.feature_of(as_float(batch.noisy))
    mask = system.masking.generator.apply(
        {"params": state.players["generator"].params}, noisy, system.masking.frames(batch.lengths)
    )
    values, _ = metricgan_steps.judge(
        system,
        state.players["discriminator"],
        mask * noisy,
        system.masking.feature_of(as_float(batch.clean)),
        batch.lengths,
    )
    assert float(metrics["loss"]) == pytest.approx(float(jnp.mean((values - 0.25) ** 2)), rel=1e-4)


def test_every_utterance_may_have_a_target_of_its_own(system, state):
    batch = make_batch([9000, 7000]).replace(index=jnp.array([2, 0]))
    batches = [batch, *(batch.replace(lengths=batch.lengths.at[row].set(0)) for row in (1, 0))]

    def losses(target):
        asking = dataclasses.replace(system, target=target)
        step = jax.jit(functools.partial(metricgan_steps.generator_step, system=asking))
        return [float(step(state, given)[1]["loss"]) for given in batches]

    both, first, second = losses(np.array([0.3, 0.9, 0.6], np.float32))
    assert first == pytest.approx(losses(0.6)[1], rel=1e-5)
    assert second == pytest.approx(losses(0.3)[2], rel=1e-5)
    assert both == pytest.approx((first + second) / 2, rel=1e-4)


def test_each_step_moves_one_player(system, state):
    batch = make_batch([9000, 7000])
    candidates = [batch.clean, batch.noisy]
    labels = jnp.array([[1.0, 0.6], [1.0, 0.8]])
    taught, _ = metricgan_steps.discriminator_step(
        state, Lesson(batch.clean, candidates, labels[..., None], batch.lengths), system=system
    )
    assert equal(taught.players["generator"], state.players["generator"])
    assert not equal(taught.players["discriminator"].params, state.players["discriminator"].params)
    for step in (metricgan_steps.generator_step, metricgan_steps.warmup_step):
        led, _ = step(state, batch, system=system)
        assert equal(led.players["discriminator"], state.players["discriminator"])
        assert not equal(led.players["generator"].params, state.players["generator"].params)


def test_candidates_without_a_score_take_no_part(system, state):
    batch = make_batch([9000, 7000, 8000])
    candidates = [batch.clean, batch.noisy]
    nan = jnp.nan
    labels = jnp.array([[1.0, 0.6], [1.0, nan], [1.0, 0.8]])
    step = functools.partial(metricgan_steps.discriminator_step, system=system)
    with_nan, metrics = step(
        state, Lesson(batch.clean, candidates, labels[..., None], batch.lengths)
    )
    # What cannot be scored may hold anything.
    other = [candidates[0], candidates[1].at[1].set(12345)]
    with_other, _ = step(state, Lesson(batch.clean, other, labels[..., None], batch.lengths))
    close(with_nan.players, with_other.players, 1e-6)
    by_hand = predictions(system, state, candidates, batch)
    errors = (by_hand - np.asarray(labels)) ** 2
    expected = errors[:, 0].mean() + errors[[0, 2], 1].mean()
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


def test_each_score_has_a_discriminator_of_its_own():
    config = tiny_config(score="pesq_wb,stoi", score_weights=(0.5, 2.0))
    config.update_from_flattened_dict({"generator.dropout": 0.0, "through_waveform": False})
    system = metricgan_steps.make_system(config)
    state = metricgan_steps.init(jax.random.key(0), system=system)
    names = ("discriminator_pesq_wb", "discriminator_stoi")
    assert tuple(state.players) == ("generator", *names)
    assert not equal(*(state.players[name].params for name in names))

    batch = make_batch([9000, 7000])
    candidates = [batch.clean, batch.noisy]
    labels = jnp.array([[[1.0, 1.0], [0.6, 0.7]], [[1.0, 1.0], [jnp.nan, 0.8]]])
    lesson = Lesson(batch.clean, candidates, labels, batch.lengths)
    teach = jax.jit(functools.partial(metricgan_steps.discriminator_step, system=system))
    taught, metrics = teach(state, lesson)
    losses = []
    for number, name in enumerate(names):
        by_hand = predictions(system, state, candidates, batch, name)
        np.testing.assert_allclose(metrics["prediction"][..., number], by_hand, atol=1e-5)
        losses.append(np.nanmean((by_hand - np.asarray(labels[..., number])) ** 2, axis=0).sum())
        # What the other score says does not reach it.
        alone = lesson._replace(labels=labels.at[..., 1 - number].set(0.1))
        other, _ = teach(state, alone)
        assert equal(other.players[name], taught.players[name])
        assert not equal(other.players[name].params, state.players[name].params)
    assert float(metrics["loss"]) == pytest.approx(sum(losses), rel=1e-5)
    assert equal(taught.players["generator"], state.players["generator"])

    led, metrics = metricgan_steps.generator_step(state, batch, system=system)
    feature = masked_feature(
        system.masking,
        state.players["generator"].params,
        system.masking.feature_of(as_float(batch.noisy)),
        batch.lengths,
    )
    clean = system.masking.feature_of(as_float(batch.clean))
    said = [
        metricgan_steps.judge(system, state.players[name], feature, clean, batch.lengths)[0]
        for name in names
    ]
    parts = [float(jnp.mean((prediction - 1.0) ** 2)) for prediction in said]
    assert float(metrics["loss"]) == pytest.approx(0.5 * parts[0] + 2.0 * parts[1], rel=1e-4)
    assert all(equal(led.players[name], state.players[name]) for name in names)


def test_padding_changes_nothing(system, state):
    lengths = [9000, 7000]
    short, long = make_batch(lengths), make_batch(lengths, total=12800, rows=5)
    labels = jnp.array([[1.0, 0.6], [1.0, 0.8]])
    more = jnp.concatenate([labels, jnp.full((3, 2), jnp.nan)])
    step = functools.partial(metricgan_steps.discriminator_step, system=system)
    losses = [
        step(state, Lesson(b.clean, [b.clean, b.noisy], known[..., None], b.lengths))[1]["loss"]
        for b, known in ((short, labels), (long, more))
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    for function in (metricgan_steps.generator_step, metricgan_steps.warmup_step):
        losses = [function(state, b, system=system)[1]["loss"] for b in (short, long)]
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    params = state.players["generator"].params
    denoiser = make_denoiser(tiny_config(**{"generator.dropout": 0.0}))
    made = [enhance_step(params, b, denoiser=denoiser) for b in (short, long)]
    assert np.abs(np.asarray(made[0], int) - np.asarray(made[1][:2, :9216], int)).max() <= 1
    assert not made[1][2:].any()
