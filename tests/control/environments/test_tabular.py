import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.environments.tabular import (
    DOWN,
    LEFT,
    NOTHING,
    RIGHT,
    UP,
    corridor_tables,
    environment,
    optimal_values,
    random_tables,
)


def test_optimal_values_satisfy_bellmans_equation():
    tables = random_tables(8, 3, 3, seed=1)
    found = optimal_values(tables, 0.9)
    for state, action in np.ndindex(7, 3):
        expected = sum(
            tables.next_states[state, action, after]
            * (tables.rewards[state, action, after] + 0.9 * (after != 7) * found[after].max())
            for after in range(8)
        )
        assert found[state, action] == pytest.approx(expected, abs=1e-9)
    assert not found[7].any()


def test_steps_have_the_probabilities_and_rewards_of_the_tables():
    tables = random_tables(6, 2, 3, seed=2)
    step = environment(tables, 100).step
    keys = jax.random.split(jax.random.key(0), 20_000)
    states, rewards, terminated = jax.vmap(step, (None, None, 0))(jnp.array(4), jnp.array(1), keys)
    shares = np.bincount(states, minlength=6) / len(keys)
    np.testing.assert_allclose(shares, tables.next_states[4, 1], atol=0.02)
    np.testing.assert_allclose(rewards, tables.rewards[4, 1][states], rtol=1e-6)
    np.testing.assert_array_equal(terminated, np.asarray(states) == 5)


@pytest.mark.parametrize("actions", [5, 10, 20])
def test_the_corridor_is_that_of_the_dueling_paper(actions):
    tables = corridor_tables(actions)
    assert tables.next_states.shape == (10 + 48 + 10, actions, 68)
    following = tables.next_states.argmax(axis=-1)
    # Corners belong to two sections; in all others two directions are walls.
    assert following[0, [LEFT, RIGHT, UP, DOWN, NOTHING]].tolist() == [0, 0, 1, 0, 0]
    assert following[9, [LEFT, RIGHT, UP, DOWN, NOTHING]].tolist() == [9, 10, 9, 8, 9]
    assert following[30, [LEFT, RIGHT, UP, DOWN, NOTHING]].tolist() == [29, 31, 30, 30, 30]
    assert following[58, [LEFT, RIGHT, UP, DOWN, NOTHING]].tolist() == [57, 58, 59, 58, 58]
    assert (following[:, 5:] == np.arange(68)[:, None]).all()
    values = optimal_values(tables, 0.99)
    np.testing.assert_allclose(values[:67].max(axis=1), 0.99 ** np.arange(66, -1, -1), rtol=1e-9)
