import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.environments.environment import Environment, advance, begin
from jaxgan.control.environments.named import ENVIRONMENTS

KEY = jax.random.key(3)


def counter(last, limit):
    """A state that counts from 10; the reward is the new count, and `last` is terminal."""

    def step(state, action, key):
        return state + 1, (state + 1).astype(jnp.float32), state + 1 == last

    return Environment(
        1,
        limit,
        lambda key: jnp.array(10),
        step,
        lambda state: state.astype(jnp.float32)[None],
        None,
    )


def walk(environment, steps):
    episode, outcomes = begin(environment, KEY), []
    for _ in range(steps):
        episode, outcome = advance(environment, episode, jnp.array(0), KEY)
        outcomes.append(outcome)
    return episode, jax.tree.map(lambda *leaves: np.stack(leaves), *outcomes)


@pytest.mark.parametrize(
    ("last", "limit", "terminated", "truncated"),
    [
        (13, 9, [0, 0, 1, 0], [0, 0, 0, 0]),
        (99, 3, [0, 0, 0, 0], [0, 0, 1, 0]),
        (13, 3, [0, 0, 1, 0], [0, 0, 1, 0]),
    ],
)
def test_termination_and_truncation_are_apart_and_the_final_observation_is_kept(
    last, limit, terminated, truncated
):
    episode, outcomes = walk(counter(last, limit), 4)
    transition = outcomes.transition
    assert transition.terminated.tolist() == [bool(each) for each in terminated]
    assert transition.truncated.tolist() == [bool(each) for each in truncated]
    assert outcomes.ended.tolist() == [False, False, True, False]
    assert transition.observation[:, 0].tolist() == [10, 11, 12, 10]
    assert transition.following[:, 0].tolist() == [11, 12, 13, 11]
    assert outcomes.total.tolist() == [11, 23, 36, 11]
    assert outcomes.steps.tolist() == [1, 2, 3, 1]
    assert (int(episode.state), int(episode.steps), float(episode.total)) == (11, 1, 11)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_is_vmappable_and_can_be_drawn(name):
    environment = ENVIRONMENTS[name]()
    episodes = jax.vmap(lambda key: begin(environment, key))(jax.random.split(KEY, 3))
    actions, keys = jnp.arange(3) % environment.actions, jax.random.split(KEY, 3)
    step = jax.jit(jax.vmap(lambda *of_one: advance(environment, *of_one)))
    following, outcome = step(episodes, actions, keys)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), following) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), episodes
    )
    alone = advance(environment, jax.tree.map(lambda leaf: leaf[1], episodes), actions[1], keys[1])
    for one, other in zip(jax.tree.leaves(alone[1]), jax.tree.leaves(outcome), strict=True):
        np.testing.assert_allclose(one, other[1], rtol=1e-6, atol=1e-6)
    assert outcome.transition.observation.dtype == jnp.float32
    states = jax.device_get(following.state)
    pictures = [environment.draw(jax.tree.map(lambda leaf, n=n: leaf[n], states)) for n in (0, 2)]
    assert all(each.dtype == np.uint8 and each.shape[-1] == 3 for each in pictures)
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize(("direction", "total"), [(0, -1.0), (1, 1.0)])
def test_catch_rewards_only_the_last_step(direction, total):
    """The paddle moves towards the ball, or away from it."""
    environment = ENVIRONMENTS["Catch"]()

    def step(episode, _):
        offset = jnp.sign(episode.state.column - episode.state.paddle)
        action = 1 + jnp.where(direction == 1, offset, jnp.where(offset == 0, 1, -offset))
        return advance(environment, episode, action, KEY)

    for seed in range(4):
        episode = begin(environment, jax.random.key(seed))
        _, outcomes = jax.lax.scan(step, episode, length=9)
        assert outcomes.transition.reward.tolist() == [0.0] * 8 + [total]
        assert outcomes.transition.terminated.tolist() == [False] * 8 + [True]
        assert not outcomes.transition.truncated.any()
