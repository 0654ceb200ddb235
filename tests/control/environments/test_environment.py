import itertools

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
    def step(episode, _):
        return advance(environment, episode, jnp.array(0), KEY)

    return jax.jit(lambda: jax.lax.scan(step, begin(environment, KEY), length=steps))()


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


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "Catch", "Corridor-5", "Random"])
def test_every_environment_is_vmappable_and_can_be_drawn(name):
    environment = ENVIRONMENTS[name]()

    @jax.jit
    def several(keys):
        episodes = jax.vmap(lambda key: begin(environment, key))(keys)
        actions = jnp.arange(3) % environment.actions
        step = jax.vmap(lambda *of_one: advance(environment, *of_one))
        return episodes, *step(episodes, actions, keys)

    episodes, following, outcome = several(jax.random.split(KEY, 3))
    shapes = [
        jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), each) for each in (episodes, following)
    ]
    assert shapes[0] == shapes[1]
    assert outcome.transition.observation.dtype == jnp.float32
    assert outcome.transition.reward.dtype == jnp.float32
    # A step of CartPole or Acrobot changes too little to be seen.
    states = [jax.device_get(each) for each in (episodes.state, following.state)]
    if name in ("CartPole-v1", "Acrobot-v1"):
        states[1] = 10 * states[1]
    pictures = [environment.draw(jax.tree.map(lambda leaf: leaf[2], each)) for each in states]
    assert all(each.dtype == np.uint8 and each.shape[-1] == 3 for each in pictures)
    assert (pictures[0] != pictures[1]).any()


def test_catch_rewards_only_the_last_step():
    """The paddle moves towards the ball, or away from it."""
    environment = ENVIRONMENTS["Catch"]()

    @jax.jit
    def episode(key, follows):
        def step(episode, _):
            offset = jnp.sign(episode.state.column - episode.state.paddle)
            action = 1 + jnp.where(follows, offset, jnp.where(offset == 0, 1, -offset))
            return advance(environment, episode, action, KEY)

        return jax.lax.scan(step, begin(environment, key), length=9)

    for seed, (follows, total) in itertools.product(range(4), [(True, 1.0), (False, -1.0)]):
        _, outcomes = episode(jax.random.key(seed), follows)
        assert outcomes.transition.reward.tolist() == [0.0] * 8 + [total]
        assert outcomes.transition.terminated.tolist() == [False] * 8 + [True]
        assert not outcomes.transition.truncated.any()
