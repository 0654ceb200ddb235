import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods.returns import generalised_advantages, n_step

GAMMA = 0.9


def by_hand(rewards, terminated, truncated):
    value, number = 0.0, 0
    while True:
        value += GAMMA**number * rewards[number]
        if terminated[number]:
            return value, 0.0, number
        if truncated[number] or number == len(rewards) - 1:
            return value, GAMMA ** (number + 1), number
        number += 1


def test_returns_equal_those_by_hand():
    random = np.random.default_rng(0)
    rewards = random.normal(size=(200, 4))
    terminated, truncated = random.random((2, 200, 4)) < 0.2
    found = jax.jit(n_step)(*map(jnp.asarray, (rewards, terminated, truncated)), GAMMA)
    expected = [by_hand(*rows) for rows in zip(rewards, terminated, truncated, strict=True)]
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_step_bootstraps_unless_it_terminates():
    terminated, truncated = (
        jnp.array(flags, bool)[:, None] for flags in ([0, 1, 0, 1], [0, 0, 1, 1])
    )
    found = jax.jit(n_step)(jnp.full((4, 1), 2.0), terminated, truncated, GAMMA)
    assert found.value.tolist() == [2, 2, 2, 2]
    np.testing.assert_allclose(found.discount, [GAMMA, 0, GAMMA, 0])
    assert found.last.tolist() == [0, 0, 0, 0]


def advantages_by_loop(rewards, values, following, terminated, truncated, discount, decay):
    """The advantages of one environment: sums of the errors of an episode, step by step."""
    found = []
    for start in range(len(rewards)):
        total, weight = 0.0, 1.0
        for step in range(start, len(rewards)):
            after = 0.0 if terminated[step] else following[step]
            total += weight * (rewards[step] + discount * after - values[step])
            if terminated[step] or truncated[step]:
                break
            weight *= discount * decay
        found.append(total)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.95, 1.0])
def test_advantages_equal_those_of_a_loop(decay):
    random = np.random.default_rng(1)
    rewards, values, following = random.normal(size=(3, 20, 30))
    terminated, truncated = random.random((2, 20, 30)) < 0.15
    arrays = rewards, values, following, terminated, truncated
    program = jax.jit(generalised_advantages, static_argnums=(5, 6))
    found = program(*(jnp.asarray(each) for each in arrays), GAMMA, decay)
    columns = zip(*(each.T for each in arrays), strict=True)
    expected = np.transpose([advantages_by_loop(*of_one, GAMMA, decay) for of_one in columns])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_cut_off_episode_ends_with_the_value_of_its_final_state_and_a_terminal_one_with_zero():
    rewards, values, following = jnp.ones((3, 2)), jnp.zeros((3, 2)), jnp.full((3, 2), 8.0)
    ends = jnp.array([[0, 0], [1, 0], [0, 0]], bool)  # of the first environment, after step 1
    no = jnp.zeros_like(ends)
    cut_off = generalised_advantages(rewards, values, following, no, ends, 0.5, 1.0)
    terminal = generalised_advantages(rewards, values, following, ends, no, 0.5, 1.0)
    np.testing.assert_allclose(cut_off[:, 0], [5 + 0.5 * 5, 5, 5])
    np.testing.assert_allclose(terminal[:, 0], [5 + 0.5 * 1, 1, 5])
    np.testing.assert_allclose(cut_off[:, 1], [5 + 0.5 * (5 + 0.5 * 5), 5 + 0.5 * 5, 5])
