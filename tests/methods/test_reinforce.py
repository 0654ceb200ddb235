import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods.reinforce import leave_one_out, reinforce

REWARDS = np.array([[1.0, 4.0], [2.0, 9.0], [6.0, 7.0]])
VALID = np.array([[1, 1], [1, 0], [1, 1]], bool)
EXPECTED = np.array([[1 - 4, 4 - 7], [2 - 3.5, 0], [6 - 1.5, 7 - 4]])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_sample_is_compared_with_the_valid_others(axis):
    rewards = np.where(VALID, REWARDS, np.nan)
    inputs = (rewards, VALID) if axis == 0 else (rewards.T, VALID.T)
    found = np.asarray(leave_one_out(*map(jnp.asarray, inputs), axis))
    np.testing.assert_allclose(found if axis == 0 else found.T, EXPECTED, atol=1e-6)


def test_a_sample_without_others_has_no_advantage():
    valid = jnp.array([[1, 1], [1, 0], [1, 0]], bool)
    assert float(leave_one_out(jnp.asarray(REWARDS), valid, 0)[0, 1]) == 0


@pytest.mark.parametrize("reward", [1.0, 0.3])
def test_equal_rewards_give_no_advantage_to_the_last_bit(reward):
    # XLA divides by a constant with a multiplication, which is not exact.
    program = jax.jit(lambda rewards: leave_one_out(rewards, jnp.ones((7, 3), bool), 0))
    assert not program(jnp.full((7, 3), reward)).any()


def test_without_valid_samples_there_is_no_advantage():
    assert not leave_one_out(jnp.full((4, 2), jnp.nan), jnp.zeros((4, 2), bool), 0).any()


@pytest.mark.parametrize("baseline", [False, True])
def test_the_mean_gradient_is_that_of_the_expected_reward(baseline):
    """All batches of two draws from a softmax over three actions, each with its probability."""
    logits, reward = jnp.array([0.3, -0.5, 1.1]), jnp.array([1.0, 0.2, -0.7])
    p = np.asarray(jax.nn.softmax(logits), np.float64)

    def batch_loss(logits, actions):
        rewards = reward[actions]
        if baseline:
            rewards = leave_one_out(rewards, jnp.ones(2, bool), 0)
        return jnp.sum(reinforce(jax.nn.log_softmax(logits)[actions], rewards))

    batches = np.array(list(itertools.product(range(3), repeat=2)))
    gradients = jax.vmap(jax.grad(batch_loss), (None, 0))(logits, jnp.asarray(batches))
    weights = p[batches[:, 0]] * p[batches[:, 1]]
    found = (weights[:, None] * np.asarray(gradients, np.float64)).sum(0) / 2
    values = np.asarray(reward, np.float64)
    exact = -p * (values - (p * values).sum())
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_the_advantage_is_a_constant_under_differentiation():
    gradient = jax.grad(lambda x: reinforce(x, x**2))(jnp.array(3.0))
    assert float(gradient) == -9.0
