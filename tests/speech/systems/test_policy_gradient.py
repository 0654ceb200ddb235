"""Policy gradient: its gradient against the exact one, and the recipe as a whole."""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recipe_checks import one_device_equals_eight, open_recipe, resumes_bit_for_bit, train
from test_mask_regression import make_config as regression_config
from tiny_runs import equal, make_batch, play, tiny_config

from configs import policy_gradient as configs
from jaxgan.core import devices, loop
from jaxgan.core.errors import UserError
from jaxgan.speech.networks.masking import as_float, make_masking
from jaxgan.speech.systems import mask_regression, policy_gradient
from jaxgan.speech.systems import policy_gradient_steps as steps

SAMPLES = 3


def make_config(**changes):
    config = tiny_config(**changes)
    config.samples = SAMPLES
    config.deviation = 0.1
    config.deviation_learning_rate = 0.01
    return config


def toy_score(mask):
    return 0.5 * mask**2 + 3 * mask


@pytest.mark.parametrize("samples", [2, 3])
def test_gradient_is_exact_in_the_mean(samples):
    # One mask value from N(mu, sigma): E[0.5 a^2 + 3 a] has the gradients mu + 3 and sigma. The
    # mean over all draws is a Gauss-Hermite sum, exact for polynomials.
    mu, sigma = 0.4, 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()

    def estimate(noise):
        masks = (mu + sigma * noise).reshape(1, samples, 1, 1)
        scores = toy_score(masks)[:, :, 0, 0]

        def loss(parameters):
            mean, deviation = (value.reshape(1, 1, 1) for value in parameters)
            likelihood = steps.log_likelihood(masks, mean, deviation, jnp.ones((1, 1, 1), bool))
            return steps.policy_loss(scores, likelihood)

        return jnp.stack(jax.grad(loss)((jnp.float32(mu), jnp.float32(sigma))))

    noise = np.array(list(itertools.product(nodes, repeat=samples)), np.float32)
    chance = np.prod(list(itertools.product(weights, repeat=samples)), axis=1)
    gradients = np.asarray(jax.jit(jax.vmap(estimate))(noise))
    np.testing.assert_allclose(chance @ gradients, [-(mu + 3), -sigma], rtol=2e-5)


def test_the_baseline_leaves_out_what_it_is_compared_with():
    scores = jnp.array([[1.0, 2.0, 6.0], [0.5, jnp.nan, 0.1], [jnp.nan, 0.3, jnp.nan]])
    expected = [[1 - 4, 2 - 3.5, 6 - 1.5], [0.4, 0, -0.4], [0, 0, 0]]
    np.testing.assert_allclose(steps.advantages(scores), expected, atol=1e-6)


def test_loss_by_hand_without_what_has_no_score():
    scores = jnp.array([[1.0, 2.0, 6.0], [0.5, jnp.nan, 0.1]])
    likelihood = jnp.array([[-1.0, -2.0, -4.0], [-3.0, -9.0, -5.0]])
    first = (-3 * -1 + -1.5 * -2 + 4.5 * -4) / 3
    second = (0.4 * -3 + -0.4 * -5) / 2
    assert float(steps.policy_loss(scores, likelihood)) == pytest.approx(-(first + second))


@pytest.fixture(name="system", scope="module")
def small_system():
    config = make_config()
    return steps.System(
        masking=make_masking(config),
        deviation=steps.MaskDeviation(config.deviation),
        samples=SAMPLES,
        generator_optimizer=optax.sgd(1.0),
        deviation_optimizer=optax.sgd(1.0),
        average_decay=0.0,
    )


@pytest.fixture(name="state", scope="module")
def fresh_state(system):
    return jax.jit(functools.partial(steps.init, system=system))(jax.random.key(0))


@pytest.fixture(name="compiled", scope="module")
def compiled_steps(system):
    return tuple(
        jax.jit(functools.partial(step, system=system))
        for step in (steps.sample_step, steps.policy_step)
    )


def test_samples_are_what_their_masks_make(system, state, compiled):
    batch = make_batch([9000, 7000], rows=3)
    clean, enhanced, lengths = compiled[0](state, batch)
    assert lengths.tolist() == [9000] * 3 + [7000] * 3 + [0] * 3
    np.testing.assert_array_equal(clean[4], batch.clean[1])
    assert not np.asarray(enhanced[3:6, 7000:]).any()
    assert not np.asarray(enhanced[6:]).any()
    assert len({row.tobytes() for row in np.asarray(enhanced[:6])}) == 6
    # Almost without deviation all of an utterance's samples are what the mean makes.
    spread = state.players["deviation"]
    bias = jax.tree.map(lambda leaf: leaf - 12.0 * (leaf.ndim == 1), spread.params)
    players = state.players | {"deviation": spread.replace(params=bias)}
    _, alike, _ = compiled[0](state.replace(players=players), batch)
    difference = np.asarray(alike[0], int) - np.asarray(alike[1:3], int)
    assert np.abs(difference).max() <= 2


def test_policy_step_follows_the_gradient_of_the_likelihoods(system, state, compiled):
    batch = make_batch([9000, 7000], rows=3)
    scores = jnp.array([0.1, 0.5, 0.2, 0.9, jnp.nan, 0.3, *[jnp.nan] * 3])
    moved, metrics = compiled[1](state, batch, scores)
    before = {name: player.params for name, player in state.players.items()}
    noisy = system.masking.feature_of(as_float(batch.noisy))
    frames = [36 + 1, 28 + 1]
    advantage = np.array([[-0.25, 0.35, -0.1], [0.6, 0, -0.6]])
    count = np.array([3, 2])

    @jax.jit
    def gradients(parameters):
        def loss(parameters):
            policy = functools.partial(steps.policy, system, noisy=noisy, lengths=batch.lengths)
            mean, spread = policy(parameters["generator"], parameters["deviation"])
            first = policy(before["generator"], before["deviation"])
            key = jax.random.fold_in(state.key, state.step)
            masks = steps.draw(*first, key, SAMPLES)
            total = 0.0
            for row in range(2):
                for k in range(SAMPLES):
                    inside = (slice(frames[row]), slice(None))
                    likelihood = jax.scipy.stats.norm.logpdf(
                        masks[row, k][inside], mean[row][inside], spread[row][inside]
                    ).sum()
                    total -= advantage[row, k] * likelihood / count[row]
            return total

        return jax.grad(loss)(parameters)

    for name, gradient in gradients(before).items():
        moves = jax.tree.map(lambda a, b: a - b, before[name], moved.players[name].params)
        for one, other in zip(jax.tree.leaves(moves), jax.tree.leaves(gradient), strict=True):
            scale = float(jnp.abs(other).max())
            np.testing.assert_allclose(one, other, atol=2e-3 * scale + 1e-6)
    deviations = [np.std([0.1, 0.5, 0.2]), np.std([0.9, 0.3])]
    assert float(metrics["score"]) == pytest.approx((0.8 / 3 + 0.6) / 2, rel=1e-5)
    assert float(metrics["spread"]) == pytest.approx(np.mean(deviations), rel=1e-4)
    assert float(metrics["deviation"]) == pytest.approx(0.1, rel=1e-5)


def test_without_a_score_nothing_moves(state, compiled):
    batch = make_batch([9000, 7000], rows=3)
    moved, _ = compiled[1](state, batch, jnp.full(9, jnp.nan))
    for name, player in moved.players.items():
        assert equal(player.params, state.players[name].params)


def test_one_device_equals_eight():
    one_device_equals_eight(policy_gradient.PolicyGradient, make_config(), 1e-3)


def test_it_begins_with_the_masks_of_a_regression_and_resumes_bit_for_bit(tmp_path):
    start = tmp_path / "start"
    masks, _ = train(mask_regression.MaskRegression, regression_config(rounds=1), start)

    def config(**changes):
        chosen = make_config(**changes)
        chosen.init_from = str(start)
        return chosen

    with open_recipe(policy_gradient.PolicyGradient, config()) as recipe:
        fresh = recipe.init(jax.random.key(3))
        adopted = loop.adopt(fresh, start, "best", recipe.begin_anew)
    assert equal(adopted.players["generator"].params, masks["generator"].deployed)
    assert equal(adopted.players["deviation"].params, fresh.players["deviation"].params)
    resumes_bit_for_bit(policy_gradient.PolicyGradient, config, tmp_path, "train/score")


def test_a_score_that_nothing_has_is_told_at_once():
    config = make_config(score="tiny_scores.nothing")
    with (
        open_recipe(policy_gradient.PolicyGradient, config) as recipe,
        pytest.raises(UserError, match=r"tiny_scores\.nothing"),
    ):
        play(recipe, 1)


def test_a_score_rises(system):
    # The quieter the better: masks have to fall.
    system = dataclasses.replace(system, generator_optimizer=optax.adam(0.01), samples=8)
    batch = make_batch([9000, 9000])
    noisy = system.masking.feature_of(as_float(batch.noisy))

    @jax.jit
    def learn(state):
        _, enhanced, _ = steps.sample_step(state, batch, system=system)
        scores = -jnp.mean(as_float(enhanced) ** 2, axis=1)
        params = (state.players[name].params for name in ("generator", "deviation"))
        mean, _ = steps.policy(system, *params, noisy, batch.lengths)
        return steps.policy_step(state, batch, scores, system=system)[0], jnp.mean(mean)

    init = jax.jit(functools.partial(steps.init, system=system))
    state, means = init(jax.random.key(0)), []
    for _ in range(40):
        state, mean = learn(state)
        means.append(float(mean))
    assert means[-1] < means[0] - 0.02


@pytest.mark.parametrize(
    ("key", "value"), [("samples", 1), ("deviation", 0.0), ("score", "pesq_wb,stoi")]
)
def test_settings_that_make_no_sense_are_refused_by_name(key, value):
    config = make_config()
    config[key] = value
    with pytest.raises(UserError, match=re.escape(key)):
        policy_gradient.make(config, devices.make_mesh())


@pytest.mark.parametrize("preset", [None, "stoi", "quick"])
def test_its_config_has_what_the_recipe_reads(preset):
    config = configs.get_config(preset)
    assert config.score == ("stoi" if preset == "stoi" else "pesq_wb")
    config.samples = 1  # refused before any data are read
    with pytest.raises(UserError, match="samples"):
        policy_gradient.make(config, devices.make_mesh())
