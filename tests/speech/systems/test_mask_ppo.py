"""PPO on masks: its loss by hand, its base, its controls, and what one update is."""

import contextlib
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_runs import equal, make_batch

from configs import avse
from configs import mask_ppo as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.timer import Timer
from jaxgan.methods.policy import draw_gaussian
from jaxgan.scores import device
from jaxgan.speech.networks.audiovisual import use_mask
from jaxgan.speech.networks.mask_policy import of_spectrum
from jaxgan.speech.networks.masking import as_float, make_masking, predict_mask, resynthesise
from jaxgan.speech.networks.stft import stft
from jaxgan.speech.systems import mask_ppo

MASKING = make_masking(configs.get_config("tiny"))
LENGTHS = [2500, 2000]
FRAMES = [10 + 1, 8 + 1]
ROWS, SAMPLES = 3, 2
REWARDS = np.array([[0.4, 0.1, 0.2], [0.3, np.nan, 0.5], [9, 9, 9]], np.float32)
"""Of two masks and the base; the third row is padding."""


def make_system(**changes):
    values = {
        "policy": of_spectrum(MASKING),
        "front_end": MASKING.front_end,
        "samples": SAMPLES,
        "deviation": 0.05,
        "block": (1, 1),
        "clip": 0.1,
        "baseline": "base",
        "reduction": "mean",
        "sign": 1.0,
        "shuffled": False,
        "policy_weight": 1.0,
        "divergence_weight": 0.0,
        "anchor": "si_sdr",
        "si_sdr": device.si_sdr,
        "anchor_weight": 0.0,
        "magnitude_share": 0.7,
        "optimizer": optax.sgd(1.0),
        "average_decay": 0.0,
    }
    return mask_ppo.System(**{**values, **changes})


@pytest.fixture(scope="module")
def batch():
    return make_batch(LENGTHS, total=2560, rows=ROWS)


@pytest.fixture(scope="module")
def state():
    return jax.jit(functools.partial(mask_ppo.init, system=make_system()))(jax.random.key(0))


@pytest.fixture(scope="module")
def act():
    return jax.jit(functools.partial(mask_ppo.act, system=make_system()))


@pytest.fixture(scope="module")
def acted(state, batch, act):
    return act(state, batch, jnp.int32(0))


@functools.cache
def compiled_step(**changes):
    return jax.jit(functools.partial(mask_ppo.step, system=make_system(**changes)))


def run_step(state, batch, actions, rewards=REWARDS, **changes):
    experience = mask_ppo.Experience(batch, actions, jnp.asarray(rewards).reshape(-1, 1))
    return compiled_step(**changes)(state, experience)


def moves(before, after, player="generator"):
    return jax.tree.map(
        lambda a, b: np.asarray(b) - np.asarray(a),
        before.players[player].params,
        after.players[player].params,
    )


def test_advantages_by_hand():
    of_base = mask_ppo.advantages(make_system(), jnp.asarray(REWARDS[:2]))
    np.testing.assert_allclose(of_base, [[0.2, -0.1], [-0.2, 0]], atol=1e-7)
    of_others = mask_ppo.advantages(make_system(baseline="others"), jnp.asarray(REWARDS[:2]))
    np.testing.assert_allclose(of_others, [[0.3, -0.3], [0, 0]], atol=1e-7)


def test_without_a_base_there_is_no_advantage():
    rewards = jnp.array([[1.0, 2.0, jnp.nan]])
    assert not np.asarray(mask_ppo.advantages(make_system(), rewards)).any()


def test_the_last_of_each_utterance_is_the_base(state, batch, acted):
    actions, enhanced = acted
    assert enhanced.enhanced.shape == (ROWS * (SAMPLES + 1), 2560)
    np.testing.assert_array_equal(enhanced.lengths, np.repeat([*LENGTHS, 0], SAMPLES + 1))
    np.testing.assert_array_equal(enhanced.clean[SAMPLES], batch.clean[0])
    np.testing.assert_array_equal(enhanced.clean[SAMPLES + 1], batch.clean[1])
    # Before the first update G is the base, so its masks are the base's, and only the drawn differ.
    np.testing.assert_array_equal(actions.means, actions.base_means)
    spectrum = stft(as_float(batch.noisy), MASKING.front_end)
    feature = actions.base_means * MASKING.feature_of(as_float(batch.noisy))
    base = resynthesise(MASKING, feature, spectrum, batch.lengths)
    made = np.asarray(enhanced.enhanced).reshape(ROWS, SAMPLES + 1, -1)
    np.testing.assert_allclose(made[:, -1], np.asarray(base) * 32768, atol=1)
    assert (made[0, 0] != made[0, -1]).any()
    assert (made[0, 0] != made[0, 1]).any()


def test_batches_of_a_round_draw_other_masks(state, batch, acted, act):
    _, again = act(state, batch, jnp.int32(0))
    _, other = act(state, batch, jnp.int32(1))
    np.testing.assert_array_equal(again.enhanced, acted[1].enhanced)
    assert (other.enhanced != acted[1].enhanced).any()


@pytest.fixture(scope="module")
def policy_gradient(state, batch, acted):
    """The gradient of the mean of advantage times log-likelihood, by jax.scipy's density.

    Weighted by the number of the cells of an action and of actions, which the reductions choose.
    """
    gains = np.array([[0.2, -0.1], [-0.2, 0]])

    @jax.jit
    @jax.grad
    def gradient(params, cells, actions):
        noisy = MASKING.feature_of(as_float(batch.noisy))
        masks = draw_gaussian(acted[0].means, 0.05, acted[0].key, SAMPLES)
        means = predict_mask(MASKING, params, noisy, batch.lengths)
        total = 0.0
        for row, frames in enumerate(FRAMES):
            density = jax.scipy.stats.norm.logpdf(masks[row, :, :frames], means[row, :frames], 0.05)
            total += jnp.sum(gains[row] * density.sum((1, 2))) / cells[row]
        return total / actions

    return functools.partial(gradient, state.players["generator"].params)


@pytest.mark.parametrize(
    ("reduction", "cells", "actions"),
    [
        ("mean", [257.0 * frames for frames in FRAMES], 3.0),
        # The second mask of the second utterance has no reward.
        ("frame", [257.0, 257.0], 2.0 * FRAMES[0] + FRAMES[1]),
        ("sum", [1.0, 1.0], 3.0),
    ],
)
def test_the_first_update_is_reinforce_with_a_baseline(
    state, batch, acted, policy_gradient, reduction, cells, actions
):
    moved, metrics = run_step(state, batch, acted[0], reduction=reduction)
    expected = policy_gradient(jnp.array(cells), actions)
    for one, other in zip(
        jax.tree.leaves(moves(state, moved)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=2e-3 * float(jnp.abs(other).max()) + 1e-7)
    assert metrics["clipped"] == 0
    np.testing.assert_allclose(metrics["divergence"], 0, atol=1e-9)


def test_metrics_by_hand(state, batch, acted):
    _, metrics = run_step(state, batch, acted[0])
    found = {name: metrics[name] for name in ("reward", "reward_gain")}
    averages = {name: float(value.total / value.count) for name, value in found.items()}
    assert averages["reward"] == pytest.approx((0.25 + 0.3) / 2)
    assert averages["reward_gain"] == pytest.approx((0.05 - 0.2) / 2)
    assert metrics["unscorable"].value == 1
    assert metrics["objective"] == pytest.approx((0.2 - 0.1 - 0.2) / 3)


def test_a_reward_of_which_lower_is_better_moves_the_other_way(state, batch, acted):
    up, _ = run_step(state, batch, acted[0])
    down, _ = run_step(state, batch, acted[0], rewards=-REWARDS, sign=-1.0)
    assert equal(up.players["generator"].params, down.players["generator"].params)


def test_without_rewards_nothing_moves(state, batch, acted):
    moved, metrics = run_step(state, batch, acted[0], rewards=np.full_like(REWARDS, np.nan))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(moves(state, moved)))
    assert metrics["objective"] == 0


def test_the_base_never_moves(state, batch, acted):
    moved, _ = run_step(state, batch, acted[0], anchor_weight=1.0, divergence_weight=1.0)
    assert equal(state.players["base"], moved.players["base"])
    assert not equal(state.players["generator"].params, moved.players["generator"].params)


def test_the_divergence_pulls_back_to_the_base(state, batch, acted):
    """Its value and its gradient are those of |mean - base mean|^2 / (2 sigma^2), per cell."""
    params = jax.tree.map(lambda leaf: leaf + 0.01, state.players["generator"].params)
    generator = state.players["generator"].replace(params=params)
    away = state.replace(players={**state.players, "generator": generator})
    _, metrics = run_step(away, batch, acted[0], anchor_weight=1.0, divergence_weight=1.0)
    noisy = MASKING.feature_of(as_float(batch.noisy))
    means = np.asarray(predict_mask(MASKING, params, noisy, batch.lengths), np.float64)
    difference = means - np.asarray(acted[0].base_means, np.float64)
    expected = [np.mean(difference[row, :n] ** 2) / (2 * 0.05**2) for row, n in enumerate(FRAMES)]
    assert metrics["divergence"] == pytest.approx(np.mean(expected), rel=1e-4)
    parts = metrics["divergence"] - metrics["objective"] + metrics["anchor"]
    assert metrics["g_loss"] == pytest.approx(float(parts), rel=1e-5)


def test_anchors_by_hand(state, batch, acted):
    _, metrics = run_step(state, batch, acted[0], anchor_weight=1.0, divergence_weight=1.0)
    made = np.asarray(acted[1].enhanced).reshape(ROWS, SAMPLES + 1, -1)[:, -1]
    ratio = device.si_sdr(batch.clean, jnp.asarray(made), batch.lengths)
    assert metrics["anchor"] == pytest.approx(-float(np.mean(ratio[:2])), abs=0.01)

    _, metrics = run_step(state, batch, acted[0], anchor="spectrum", anchor_weight=1.0)
    front_end = MASKING.front_end
    clean, noisy = (
        np.asarray(stft(as_float(wave), front_end)) for wave in (batch.clean, batch.noisy)
    )
    # The spectrum of the enhanced speech, which differs from the masked one: frames overlap.
    masked = jnp.asarray(acted[0].means * noisy)
    waves = resynthesise(MASKING, jnp.abs(masked), jnp.asarray(noisy), batch.lengths)
    enhanced = np.asarray(stft(waves, front_end))
    magnitudes = (np.abs(enhanced) - np.abs(clean)) ** 2
    distance = 0.7 * magnitudes + 0.3 * np.abs(enhanced - clean) ** 2
    valid = [distance[row, :frames] for row, frames in enumerate(FRAMES)]
    assert metrics["anchor"] == pytest.approx(np.concatenate(valid).mean(), rel=1e-4)


def test_an_anchor_without_weight_is_not_computed(state, batch, acted):
    assert "anchor" not in run_step(state, batch, acted[0])[1]


def test_shuffled_rewards_are_those_of_the_same_batch(state, batch, acted):
    rewards = np.array([[1, 1, 0], [3, 3, 0], [6, 6, 0]], np.float32)
    _, metrics = run_step(state, batch, acted[0], rewards=rewards, shuffled=True)
    # The means of two of the three rows; in order it would be that of the first two.
    assert float(metrics["objective"]) in {2.0, 3.5, 4.5}
    assert float(metrics["reward"].total / metrics["reward"].count) == 2.0


def test_padding_of_an_utterance_has_no_effect(state, batch, acted):
    valid = jnp.arange(12)[:, None] < 9
    terms = jax.random.normal(jax.random.key(1), (2, 12, 257))
    for reduction, axis in (("mean", (1, 2)), ("sum", (1, 2)), ("frame", 2)):
        reduce = mask_ppo.reduce_blocks(make_system(reduction=reduction), valid)
        cut = np.asarray(terms)[:, :9]
        expected = cut.sum(axis) if reduction == "sum" else cut.mean(axis)
        found = np.asarray(reduce(terms))
        np.testing.assert_allclose(
            found[:, :9] if reduction == "frame" else found, expected, rtol=1e-4, atol=1e-5
        )


def test_one_draw_moves_a_whole_block(state, batch):
    """Blocks of all frames and 64 bins: what the policy plays, and the gradient of its means."""
    changes = {"block": (0, 64), "reduction": "sum"}
    system = make_system(**changes)
    masks = []

    def enhance(params, batch, choose):
        mask, _ = of_spectrum(MASKING).enhance(params, batch, use_mask)
        masks.append(choose(mask))
        return mask, jnp.zeros((ROWS, masks[-1].shape[1], 2560))

    spying = make_system(**changes, policy=dataclasses.replace(system.policy, enhance=enhance))
    actions, _ = mask_ppo.act(state, batch, jnp.int32(0), system=spying)
    assert actions.means.shape == (ROWS, 1, 5)
    noise = np.asarray(masks[0] - masks[1])
    for row, frames in enumerate(FRAMES):
        for column in range(5):
            part = noise[row, :, :frames, 64 * column : 64 * (column + 1)]
            np.testing.assert_allclose(part, part[:, :1, :1] * np.ones_like(part), atol=1e-6)
    assert 0.02 < noise.std() < 0.1
    moved, metrics = run_step(state, batch, actions, **changes)
    gains = np.array([[0.2, -0.1], [-0.2, 0]])

    def expected(params):
        noisy = MASKING.feature_of(as_float(batch.noisy))
        mask = predict_mask(MASKING, params, noisy, batch.lengths)
        total = 0.0
        for row, frames in enumerate(FRAMES):
            for column in range(5):
                bins = slice(64 * column, 64 * (column + 1))
                change = noise[row, :, 0, 64 * column] / 0.05**2
                total += jnp.mean(mask[row, :frames, bins]) * np.sum(gains[row] * change)
        return total / 3

    found = moves(state, moved)
    for one, other in zip(
        jax.tree.leaves(found),
        jax.tree.leaves(jax.jit(jax.grad(expected))(state.players["generator"].params)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=2e-3 * float(jnp.abs(other).max()) + 1e-7)
    assert metrics["clipped"] == 0


def test_an_audio_visual_network_is_moved_by_its_mask():
    """The rewards move what predicts the mask, but not the decoder behind it."""
    config = configs.get_config("avse_quick")
    small = avse.get_config("tiny")
    with config.unlocked():
        config.generator, config.data = small.generator, small.data
    config.update(batch_size=4, utterances_per_round=4, score="si_sdr", anchor_weight=0.0)
    config.scoring.where = "device"
    config.validation.scores = ()
    with contextlib.closing(mask_ppo.make(config, devices.make_mesh(1))) as recipe:
        state = recipe.init(jax.random.key(0))
        start = jax.device_get(state.players["generator"].params)
        state, _, metrics = recipe.round(state, (), 1, Timer())
        found = recipe.evaluate(state, 1)().metrics
    assert np.isfinite(metrics["reward"])
    assert metrics["unscorable"] == 0
    assert np.isfinite(found["si_sdr_other_video"])
    after = state.players["generator"].params
    still = {
        name for name in start if equal(start[name], after[name]) and jax.tree.leaves(start[name])
    }
    assert "Vision_0" not in still
    decoder = {name for name in start if np.shape(start[name].get("kernel")) == (8, 256)}
    assert still == decoder


def test_the_base_is_what_the_run_started_from():
    config = configs.get_config("tiny")
    with contextlib.closing(mask_ppo.make(config, devices.make_mesh(1))) as recipe:
        state = recipe.init(jax.random.key(0))
        # As if config.init_from had replaced the generator.
        params = jax.tree.map(lambda leaf: leaf * 1.1, state.players["generator"].params)
        start = jax.device_get(params)
        players = {**state.players, "generator": state.players["generator"].replace(params=params)}
        state = state.replace(players=players)
        for number in (1, 2):
            state, _, metrics = recipe.round(state, (), number, Timer())
    assert equal(start, state.players["base"].params)
    assert not equal(start, state.players["generator"].params)
    assert metrics["divergence"] > 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("baseline", "best", "config.baseline=best"),
        ("reduction", "max", "config.reduction=max"),
        ("samples", 0, "config.samples=0"),
        ("score", "si_sdr,stoi", "give one score"),
    ],
)
def test_bad_settings_are_named(key, value, message):
    config = configs.get_config("tiny")
    with config.unlocked():
        config[key] = value
    with pytest.raises(UserError, match=re.escape(message)):
        mask_ppo.make(config, None)


def test_the_mean_of_others_needs_two_masks():
    config = configs.get_config("tiny")
    config.baseline, config.samples = "others", 1
    with pytest.raises(UserError, match=r"needs config\.samples of 2"):
        mask_ppo.make(config, None)
