import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxgan.methods import policy
from jaxgan.methods.reinforce import leave_one_out, reinforce
from jaxgan.nn.masked import masked_mean

RANDOM = np.random.default_rng(0)
LOGITS, REFERENCE = 2 * RANDOM.normal(size=(2, 6, 4))
ACTIONS = RANDOM.integers(4, size=6)
DEVIATION = 0.05
OLD_MEANS = RANDOM.uniform(size=(3, 5, 7))  # actions of 5 x 7 cells
MEANS = OLD_MEANS + 0.02 * RANDOM.normal(size=OLD_MEANS.shape)
MASKS = OLD_MEANS + DEVIATION * RANDOM.normal(size=OLD_MEANS.shape)
TOTAL = functools.partial(jnp.sum, axis=(-2, -1))
MEAN = functools.partial(jnp.mean, axis=(-2, -1))


def of(function, *arrays, **fixed):
    """What the compiled function returns for arrays of the host."""
    found = jax.jit(functools.partial(function, **fixed))(*map(jnp.asarray, arrays))
    assert found.dtype == jnp.float32
    return found


def test_categorical_policies_equal_scipys():
    log_probabilities = special.log_softmax(LOGITS, axis=-1)
    taken = log_probabilities[np.arange(6), ACTIONS]
    found = of(policy.categorical_log_probability, LOGITS, ACTIONS)
    np.testing.assert_allclose(found, taken, rtol=1e-5)
    probabilities, reference = np.exp(log_probabilities), special.softmax(REFERENCE, axis=-1)
    entropies = stats.entropy(probabilities, axis=-1)
    np.testing.assert_allclose(of(policy.categorical_entropy, LOGITS), entropies, rtol=1e-5)
    divergences = stats.entropy(probabilities, reference, axis=-1)
    found = of(policy.categorical_kl, LOGITS, REFERENCE)
    np.testing.assert_allclose(found, divergences, rtol=1e-4, atol=1e-6)
    assert not of(policy.categorical_kl, LOGITS, LOGITS).any()


def test_an_impossible_action_leaves_the_others_finite():
    logits = jnp.array([0.0, 200.0, -200.0])
    assert float(policy.categorical_entropy(logits)) == 0.0
    assert float(policy.categorical_log_probability(logits, jnp.array(1))) == 0.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.0, 3.0, 3.0, 3.0),  # the policy gradient
        (1.0, -3.0, -3.0, -3.0),
        (1.5, 3.0, 3.6, 0.0),  # has moved far enough
        (0.5, -3.0, -2.4, 0.0),
        (1.5, -3.0, -4.5, -4.5),  # has moved the wrong way
        (0.5, 3.0, 1.5, 1.5),
    ],
)
def test_the_objective_is_clipped_only_in_the_direction_of_the_advantage(
    ratio, advantage, expected, slope
):
    objective = functools.partial(policy.clipped_objective, clip=0.2)
    value, gradient = jax.value_and_grad(objective, argnums=(0, 1))(math.log(ratio), advantage)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    # The derivative of the ratio with respect to its logarithm is the ratio.
    assert float(gradient[0]) == pytest.approx(slope, rel=1e-5)
    assert float(gradient[1]) == 0


@pytest.mark.parametrize(
    ("value", "loss", "slope"),
    [
        (1.1, (1.1 - 3) ** 2 / 2, 1.1 - 3),  # within the bound around the old value 1
        (1.5, (1.2 - 3) ** 2 / 2, 0.0),  # has moved far enough towards the return 3
        (0.5, (0.5 - 3) ** 2 / 2, 0.5 - 3),  # has moved away from it
    ],
)
def test_values_move_by_no_more_than_the_bound(value, loss, slope):
    found = jax.value_and_grad(policy.clipped_value_loss)(value, 1.0, 3.0, 0.2)
    np.testing.assert_allclose(found, (loss, slope), rtol=1e-5)


def test_the_sampled_divergence_is_that_of_old_and_new_policy():
    """Its expectation over the actions of the old policy is exact: all actions, weighted."""
    log_ratios = special.log_softmax(LOGITS, axis=-1) - special.log_softmax(REFERENCE, axis=-1)
    old = special.softmax(REFERENCE, axis=-1)
    terms = np.asarray(of(policy.sampled_kl, log_ratios))
    assert (terms >= 0).all()
    expected = stats.entropy(old, special.softmax(LOGITS, axis=-1), axis=-1)
    np.testing.assert_allclose((old * terms).sum(axis=-1), expected, rtol=1e-4)
    assert float(policy.sampled_kl(jnp.array(1e-3))) == pytest.approx(5.0017e-7, rel=1e-3)


def log_density(means):
    return stats.norm.logpdf(MASKS, means, DEVIATION)


@pytest.mark.parametrize(
    ("reduce", "numpys"), [(TOTAL, np.sum), (MEAN, np.mean), (lambda cells: cells, None)]
)
def test_gaussian_policies_equal_scipys_densities(reduce, numpys):
    fixed = {"deviation": DEVIATION, "reduce": reduce}
    ratio = of(policy.gaussian_log_ratio, MASKS, MEANS, OLD_MEANS, **fixed)
    divergence = of(policy.gaussian_kl, MEANS, OLD_MEANS, **fixed)
    cells = log_density(MEANS) - log_density(OLD_MEANS), (MEANS - OLD_MEANS) ** 2 / 0.005
    expected = [each if numpys is None else numpys(each, axis=(1, 2)) for each in cells]
    np.testing.assert_allclose(ratio, expected[0], rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(divergence, expected[1], rtol=1e-4, atol=1e-7)


def test_the_gaussian_log_ratio_keeps_small_changes():
    """A difference of squares in float32 would lose half of the digits."""
    actions, old = np.float32([0.93]), np.float32([0.9])
    means = np.nextafter(old, np.float32(2))
    exact = stats.norm.logpdf(0.93, np.float64(means), 0.05) - stats.norm.logpdf(
        0.93, np.float64(old), 0.05
    )
    arrays = (jnp.asarray(each) for each in (actions, means, old))
    found = policy.gaussian_log_ratio(*arrays, 0.05, jnp.sum)
    assert float(found) == pytest.approx(exact.item(), rel=1e-3)


def test_the_gaussian_divergence_is_the_mean_log_ratio_of_its_own_actions():
    """E over a ~ pi of log pi(a) - log old(a), for one cell by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    mean, old = 0.7, 0.62
    actions = mean + DEVIATION * nodes
    means, olds = (np.full(20, each) for each in (mean, old))
    ratios = policy.gaussian_log_ratio(
        *(jnp.asarray(each) for each in (actions, means, olds)), DEVIATION, lambda cells: cells
    )
    expected = np.sum(weights * np.asarray(ratios)) / math.sqrt(2 * math.pi)
    found = policy.gaussian_kl(jnp.array(mean), jnp.array(old), DEVIATION, lambda cells: cells)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_padding_has_no_part_in_a_masked_mean_over_cells():
    valid = np.arange(5)[:, None] < np.array([5, 3, 1])[:, None, None]
    valid = np.broadcast_to(valid, MEANS.shape)
    reduce = functools.partial(masked_mean, mask=jnp.asarray(valid), axis=(-2, -1))
    found = of(policy.gaussian_kl, MEANS, OLD_MEANS, deviation=DEVIATION, reduce=reduce)
    for row, length in enumerate((5, 3, 1)):
        cells = (MEANS - OLD_MEANS)[row, :length] ** 2 / 0.005
        assert float(found[row]) == pytest.approx(cells.mean(), rel=1e-5)


def test_one_update_of_gaussian_ppo_on_fresh_actions_is_reinforce_with_a_baseline():
    """K masks of each of two inputs, each compared with the others of its input."""
    masks = OLD_MEANS[:2, None] + DEVIATION * RANDOM.normal(size=(2, 4, 5, 7))
    rewards = RANDOM.normal(size=(2, 4))
    advantages = leave_one_out(jnp.asarray(rewards, jnp.float32), jnp.ones((2, 4), bool), 1)
    old = jnp.asarray(OLD_MEANS[:2, None], jnp.float32)
    masks = jnp.asarray(masks, jnp.float32)

    def ppo(means):
        ratio = policy.gaussian_log_ratio(masks, means, old, DEVIATION, MEAN)
        return -policy.clipped_objective(ratio, advantages, 0.1).mean()

    def plain(means):
        log_probability = -MEAN((masks - means) ** 2) / (2 * DEVIATION**2)
        return reinforce(log_probability, advantages).mean()

    found, expected = jax.grad(ppo)(old), jax.grad(plain)(old)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / 3
    slopes = (np.asarray(masks) - OLD_MEANS[:2, None]) / DEVIATION**2 / 35
    by_hand = -((rewards - others)[..., None, None] * slopes).sum(axis=1) / 8
    np.testing.assert_allclose(found[:, 0], by_hand, rtol=1e-3, atol=1e-5)


def test_drawn_actions_have_the_mean_and_the_deviation_and_no_gradient():
    means, deviations = jnp.array([[0.0, 2.0], [5.0, -1.0]]), jnp.array([0.1, 3.0])

    def draw(means, deviations):
        return policy.draw_gaussian(means, deviations, jax.random.key(0), 20_000)

    for spread in (deviations, 0.5):
        drawn = np.asarray(draw(means, spread))
        expected = np.broadcast_to(spread, (2, 2))
        assert drawn.shape == (2, 20_000, 2)
        np.testing.assert_allclose(drawn.mean(1), means, atol=0.1)
        np.testing.assert_allclose(drawn.std(1), expected, rtol=0.03)
    slopes = jax.grad(lambda *inputs: draw(*inputs).sum(), (0, 1))(means, deviations)
    assert not any(np.any(slope) for slope in slopes)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (0, 2), (4, 0), (9, 9)])
def test_block_means_equal_plain_loops(block):
    """The mean of each block over its valid cells; blocks at the ends are cut."""
    cells = RANDOM.normal(size=(2, 5, 7))
    valid = np.arange(5)[:, None] < np.array([5, 2])[:, None, None]
    means, exists = policy.block_means(jnp.asarray(cells), jnp.asarray(valid), block)
    rows, columns = (size or whole for size, whole in zip(block, (5, 7), strict=True))
    back = policy.repeat_blocks(means, block, (5, 7))
    for one, frames in enumerate((5, 2)):
        for top in range(0, 5, rows):
            for left in range(0, 7, columns):
                inside = cells[one, top : min(top + rows, frames), left : left + columns]
                place = one, top // rows, left // columns
                assert bool(exists[place]) == (top < frames)
                expected = inside.mean() if inside.size else 0
                assert float(means[place]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
                assert (back[one, top : top + rows, left : left + columns] == means[place]).all()


def test_the_policy_gradient_of_blocks_is_that_of_the_reward_along_blocks():
    """For a reward that is linear in the mask, the expected gradient is known exactly."""
    slope = RANDOM.normal(size=(4, 6))
    means, valid = jnp.full((1, 4, 6), 0.5), jnp.ones((1, 4, 6), bool)

    def gradient(means):
        old, _ = policy.block_means(means, valid, (2, 3))
        drawn = policy.draw_gaussian(old, DEVIATION, jax.random.key(0), 50_000)
        change = policy.repeat_blocks(drawn - old[:, None], (2, 3), (4, 6))
        rewards = jnp.sum(change * slope, axis=(-2, -1))

        def objective(means):
            new = policy.block_means(means, valid, (2, 3))[0][:, None]
            ratio = policy.gaussian_log_ratio(drawn, new, old[:, None], DEVIATION, TOTAL)
            return policy.clipped_objective(ratio, rewards, 0.1).mean()

        return jax.grad(objective)(means)[0]

    found = np.asarray(jax.jit(gradient)(means))
    of_blocks = slope.reshape(2, 2, 2, 3).mean(axis=(1, 3))
    expected = np.repeat(np.repeat(of_blocks, 2, 0), 3, 1)
    np.testing.assert_allclose(found, expected, atol=0.05)
