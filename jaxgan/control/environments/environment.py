"""The interface of environments, and episodes that start again by themselves.

All functions here are pure and of one environment; `jax.vmap` runs many.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgan.core.state import PyTree


@dataclasses.dataclass(frozen=True)
class Environment:
    """A Markov decision process with a finite number of actions.

    Attributes:
        actions: how many there are; an action is an int32 [] from 0 to `actions` - 1.
        limit: the most steps of an episode, after which it is truncated.
        reset: (key) -> the state in which an episode starts, a pytree of arrays.
        step: (state, action, key) -> (next state, reward float32 [], whether the next state is
            terminal, bool []).
        observe: (state) -> what the agent sees, float32 [D].
        draw: (state as NumPy arrays) -> a picture, uint8 [H, W, 3]; runs on the host.
    """

    actions: int
    limit: int
    reset: Callable[[jax.Array], PyTree]
    step: Callable[[PyTree, jax.Array, jax.Array], tuple[PyTree, jax.Array, jax.Array]]
    observe: Callable[[PyTree], jax.Array]
    draw: Callable[[PyTree], np.ndarray]


@struct.dataclass
class Episode:
    """An episode in progress.

    Attributes:
        state: the state of the environment.
        steps: int32 [], how many have been made.
        total: float32 [], the sum of the rewards so far.
    """

    state: PyTree
    steps: jax.Array
    total: jax.Array


class Transition(NamedTuple):
    """The outcome of one action. These are the rows of a replay ring.

    Attributes:
        observation: float32 [D], before the action.
        action: int32 [].
        reward: float32 [].
        following: float32 [D], the observation after the action; at the end of an episode, its
            final observation and not the first one of the next episode.
        terminated: bool [], whether the environment has reached a terminal state, whose value is
            zero.
        truncated: bool [], whether the limit has been reached. The final state still has a value.
            As in Gymnasium, both may be true.
    """

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    following: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Outcome(NamedTuple):
    """The second result of `advance`, after the episode.

    Attributes:
        transition: the step that was made.
        ended: bool [], whether it was the last one of its episode.
        total: float32 [], the sum of the rewards of its episode up to here.
        steps: int32 [], how many steps its episode has up to here.
    """

    transition: Transition
    ended: jax.Array
    total: jax.Array
    steps: jax.Array


def observation_size(environment: Environment) -> int:
    """Returns D, how many numbers an observation has."""
    shape = jax.eval_shape(lambda: environment.observe(environment.reset(jax.random.key(0))))
    return int(shape.size)


def begin(environment: Environment, key: jax.Array) -> Episode:
    """Returns a new episode."""
    return Episode(environment.reset(key), jnp.zeros((), jnp.int32), jnp.zeros(()))


def advance(
    environment: Environment, episode: Episode, action: jax.Array, key: jax.Array
) -> tuple[Episode, Outcome]:
    """Makes one step; after the last one of an episode the next episode begins.

    Args:
        environment: the environment of the episode.
        episode: before the step.
        action: int32 [].
        key: the PRNG key of the step, and of the next episode's start.
    """
    step_key, reset_key = jax.random.split(key)
    state, reward, terminated = environment.step(episode.state, action, step_key)
    steps, total = episode.steps + 1, episode.total + reward
    truncated = steps >= environment.limit
    ended = terminated | truncated
    transition = Transition(
        observation=environment.observe(episode.state),
        action=action,
        reward=reward,
        following=environment.observe(state),
        terminated=terminated,
        truncated=truncated,
    )
    fresh = begin(environment, reset_key)
    proceeded = Episode(state, steps, total)
    following = jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, proceeded)
    return following, Outcome(transition, ended, total, steps)


def begin_several(environment: Environment, key: jax.Array, count: int) -> Episode:
    """Returns new episodes, whose leaves have a leading axis [count]."""
    return jax.vmap(functools.partial(begin, environment))(jax.random.split(key, count))


def advance_several(
    environment: Environment, episodes: Episode, actions: jax.Array, key: jax.Array
) -> tuple[Episode, Outcome]:
    """Makes one step in each of several episodes; see `advance`.

    Args:
        environment: the environment of the episodes.
        episodes: before the step, with a leading axis [n].
        actions: int32 [n].
        key: the PRNG key of all steps.
    """
    keys = jax.random.split(key, len(actions))
    return jax.vmap(functools.partial(advance, environment))(episodes, actions, keys)
