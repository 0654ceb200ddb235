"""Policy gradient: its gradient against the exact one, a toy task, its config."""

import contextlib
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_runs import equal, make_batch, play

from configs import policy_gradient as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.metrics import of_round
from jaxgan.methods.policy import draw_gaussian
from jaxgan.speech.networks.deviation import MaskDeviation
from jaxgan.speech.networks.masking import as_float, enhance_with_masks, make_masking
from jaxgan.speech.networks.stft import stft
from jaxgan.speech.systems import policy_gradient

SAMPLES = 3
LENGTHS = [2500, 2000]
FRAMES = [10 + 1, 8 + 1]


def make_system(score=None, samples=SAMPLES, generator_optimizer=None, deviation_optimizer=None):
    return policy_gradient.System(
        masking=make_masking(configs.get_config("tiny")),
        deviation=MaskDeviation(0.1),
        score=score,
        samples=samples,
        generator_optimizer=generator_optimizer or optax.sgd(1.0),
        deviation_optimizer=deviation_optimizer or optax.sgd(1.0),
        average_decay=0.0,
    )


@pytest.mark.parametrize("samples", [2, 3])
def test_gradient_is_exact_in_the_mean(samples):
    # One mask value a from N(mu, sigma) with the score 0.5 a^2 + 3 a: the expected score has the
    # gradients mu + 3 and sigma. The mean over all draws is a Gauss-Hermite sum, which is exact
    # for polynomials.
    mu, sigma = 0.4, 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()

    def estimate(noise):
        masks = (mu + sigma * noise).reshape(1, samples, 1, 1)
        scores = (0.5 * masks**2 + 3 * masks)[:, :, 0, 0]

        def loss(parameters):
            mean, deviation = (value.reshape(1, 1, 1) for value in parameters)
            valid = jnp.ones((1, 1, 1), bool)
            likelihood = policy_gradient.log_likelihood(masks, mean, deviation, valid)
            return policy_gradient.policy_loss(scores, likelihood)

        return jnp.stack(jax.grad(loss)((jnp.float32(mu), jnp.float32(sigma))))

    noise = np.array(list(itertools.product(nodes, repeat=samples)), np.float32)
    chance = np.prod(list(itertools.product(weights, repeat=samples)), axis=1)
    gradients = np.asarray(jax.jit(jax.vmap(estimate))(noise))
    np.testing.assert_allclose(chance @ gradients, [-(mu + 3), -sigma], rtol=2e-5)


def test_loss_by_hand_without_masks_that_have_no_score():
    scores = jnp.array([[1.0, 2.0, 6.0], [0.5, jnp.nan, 0.1], [jnp.nan, 0.3, jnp.nan]])
    likelihood = jnp.array([[-1.0, -2.0, -4.0], [-3.0, -9.0, -5.0], [-1.0, -2.0, -3.0]])
    first = (-3 * -1 + -1.5 * -2 + 4.5 * -4) / 3
    second = (0.4 * -3 + -0.4 * -5) / 2
    loss = policy_gradient.policy_loss(scores, likelihood)
    assert float(loss) == pytest.approx(-(first + second))


def test_masks_are_clipped_and_applied():
    system = make_system()
    batch = make_batch(LENGTHS, total=2560, rows=3)

    @jax.jit
    def enhance(values):
        spectrum = stft(as_float(batch.noisy), system.masking.front_end)
        masks = jnp.broadcast_to(values[None, :, None, None], (3, 3, *spectrum.shape[1:]))
        return enhance_with_masks(system.masking, masks, spectrum, batch.lengths)

    made = np.asarray(enhance(jnp.array([0.5, 2.0, -1.0]))) * 32768
    floor = system.masking.generator.floor
    for factor, of_factor in zip((0.5, 1.0, floor), made.swapaxes(0, 1), strict=True):
        np.testing.assert_allclose(of_factor, factor * np.asarray(batch.noisy), atol=1)


def test_step_follows_the_gradient_of_the_likelihoods():
    batch = make_batch(LENGTHS, total=2560, rows=3)
    state = jax.jit(functools.partial(policy_gradient.init, system=make_system()))(
        jax.random.key(0)
    )

    @jax.jit
    def step(state, scores):
        system = make_system(lambda *_: (scores[:, None], scores[:, None]))
        return policy_gradient.step(state, batch, system=system)

    none = jnp.nan
    moved, metrics = step(
        state, jnp.array([0.1, 0.5, 0.2, 0.9, none, 0.3, none, none, none], jnp.float32)
    )
    advantage = np.array([[-0.25, 0.35, -0.1], [0.6, 0, -0.6]])
    count = np.array([3, 2])

    @jax.jit
    def gradients(params):
        system = make_system()
        noisy = system.masking.feature_of(as_float(batch.noisy))

        def policy(params):
            players = {name: state.players[name].replace(params=params[name]) for name in params}
            return policy_gradient.policy(system, players, noisy, batch.lengths)

        key = jax.random.fold_in(state.key, state.step)
        masks = draw_gaussian(*policy(params), key, SAMPLES)

        def loss(params):
            mean, deviation = policy(params)
            total = 0.0
            for row, frames in enumerate(FRAMES):
                likelihood = jax.scipy.stats.norm.logpdf(
                    masks[row, :, :frames], mean[row, :frames], deviation[row, :frames]
                ).sum((1, 2))
                total -= jnp.sum(advantage[row] * likelihood) / count[row]
            return total

        return jax.grad(loss)(params)

    before = {name: player.params for name, player in state.players.items()}
    for name, gradient in gradients(before).items():
        moves = jax.tree.map(lambda a, b: a - b, before[name], moved.players[name].params)
        for one, other in zip(jax.tree.leaves(moves), jax.tree.leaves(gradient), strict=True):
            scale = float(jnp.abs(other).max())
            np.testing.assert_allclose(one, other, atol=2e-3 * scale + 1e-6)
    assert int(moved.step) == 2

    metrics = of_round([jax.device_get(metrics)])
    assert metrics["score"] == pytest.approx((0.8 / 3 + 0.6) / 2, rel=1e-5)
    spread = np.mean([np.std([0.1, 0.5, 0.2]), np.std([0.9, 0.3])])
    assert metrics["spread"] == pytest.approx(spread, rel=1e-4)
    assert metrics["deviation"] == pytest.approx(0.1, rel=1e-5)
    assert metrics["unscorable"] == 1

    unmoved, metrics = step(state, jnp.full(9, none, jnp.float32))
    for name, player in unmoved.players.items():
        assert equal(player.params, before[name])
    metrics = of_round([jax.device_get(metrics)])
    assert "score" not in metrics
    assert metrics["unscorable"] == 6


def test_a_score_rises():
    def quietness(clean, enhanced, lengths):
        score = -jnp.mean(as_float(enhanced) ** 2, axis=1, keepdims=True)
        return score, score

    system = make_system(quietness, 8, optax.adam(0.01), optax.adam(1e-4))
    batch = make_batch(LENGTHS, total=2560)
    state = jax.jit(functools.partial(policy_gradient.init, system=system))(jax.random.key(0))
    step = jax.jit(functools.partial(policy_gradient.step, system=system))
    scores = []
    for _ in range(40):
        state, metrics = step(state, batch)
        scores.append(of_round([jax.device_get(metrics)])["score"])
    assert scores[-1] > 0.95 * scores[0]  # both below 0


def test_a_round_without_scores_is_refused():
    config = configs.get_config("tiny")
    config.score = "tiny_scores.nothing"
    config.scoring.where = "host"
    with (
        contextlib.closing(policy_gradient.make(config, devices.make_mesh(1))) as recipe,
        pytest.raises(UserError, match=r"tiny_scores\.nothing"),
    ):
        play(recipe, 1)


@pytest.mark.parametrize("preset", [None, "stoi", "quick"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("samples", 1), ("deviation", 0.0), ("scoring.delay", 1), ("score", "pesq_wb,stoi")],
)
def test_invalid_settings_are_named(preset, key, value):
    config = configs.get_config(preset)
    assert config.score == ("stoi" if preset == "stoi" else "pesq_wb")
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=re.escape(key)):
        policy_gradient.make(config, devices.make_mesh(1))
