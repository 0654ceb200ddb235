"""Episodes that a trained agent plays, and how good they are."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.control.environments.environment import Environment, advance, begin
from jaxgan.core.state import Players, PyTree

Preferences = Callable[[jax.Array], jax.Array]
"""(observations float32 [n, D]) -> float32 [n, A]; an agent takes the action with the highest."""


class Played(NamedTuple):
    """Episodes, padded to the length of the longest one or to the limit of their environment.

    Attributes:
        states: the states of the environment before each step, a pytree of arrays [T, n, ...].
        rewards: float32 [T, n]; 0 after the end.
        highest: float32 [T, n], the preference for the action that was taken; 0 after the end.
        playing: bool [T, n], whether the step belongs to the episode.
    """

    states: PyTree
    rewards: jax.Array
    highest: jax.Array
    playing: jax.Array

    @property
    def returns(self) -> jax.Array:
        """The sum of the rewards of each episode, float32 [n]."""
        return self.rewards.sum(axis=0)

    @property
    def lengths(self) -> jax.Array:
        """The steps of each episode, int32 [n]."""
        return self.playing.sum(axis=0)


class Agent(NamedTuple):
    """How a trained agent acts, and what is measured of it.

    Attributes:
        environment: the environment that it is trained in.
        prefer: (players, observations) -> `Preferences`' result.
        measure: (episodes) -> metrics by name.
    """

    environment: Environment
    prefer: Callable[[Players, jax.Array], jax.Array]
    measure: Callable[[Played], dict[str, jax.Array]]


def play(environment: Environment, preferences: Preferences, key: jax.Array, count: int) -> Played:
    """Plays the preferred action in every state. Pure.

    Args:
        environment: the environment to play in.
        preferences: the preferences of the agent.
        key: decides the starts, and what else is random in the environment.
        count: the number of episodes.
    """
    keys = jax.random.split(key, count)
    episodes = jax.vmap(begin, (None, 0))(environment, keys)

    def step(carry: tuple[PyTree, jax.Array], number: jax.Array) -> tuple[PyTree, Played]:
        episodes, playing = carry
        found = preferences(jax.vmap(environment.observe)(episodes.state))
        actions = jnp.argmax(found, axis=-1).astype(jnp.int32)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        following, outcome = jax.vmap(lambda *of_one: advance(environment, *of_one))(
            episodes, actions, step_keys
        )
        rewards, highest = outcome.transition.reward, found.max(axis=-1)
        rewards, highest = (jnp.where(playing, each, 0.0) for each in (rewards, highest))
        played = Played(episodes.state, rewards, highest, playing)
        return (following, playing & ~outcome.ended), played

    start = episodes, jnp.ones(count, bool)
    _, played = jax.lax.scan(step, start, jnp.arange(environment.limit))
    return played


def measure(played: Played) -> dict[str, jax.Array]:
    """Returns the mean return and length of episodes."""
    # A plain dict would leave a compiled program with its keys sorted.
    return OrderedDict(
        [("eval/return", played.returns.mean()), ("eval/length", played.lengths.mean())]
    )


def measure_values(played: Played, discount: float) -> dict[str, jax.Array]:
    """Returns what `measure` does and, for an agent whose preferences are action values, two more.

    `eval/max_q` is the mean of max-Q over all states of the episodes. `eval/overestimation` is the
    mean over episodes of max-Q in the first state minus the discounted return from there on. An
    episode of 500 steps that is cut off lacks 0.99^500, less than 1 %, of a return.

    Args:
        played: the episodes.
        discount: the discount of a reward one step later.
    """
    powers = discount ** jnp.arange(len(played.rewards))
    realised = (powers[:, None] * played.rewards).sum(axis=0)
    found = measure(played)
    found["eval/max_q"] = played.highest.sum() / played.playing.sum()
    found["eval/overestimation"] = (played.highest[0] - realised).mean()
    return found
