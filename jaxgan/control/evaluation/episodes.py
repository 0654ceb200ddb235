"""Episodes that a trained agent plays, and how good they are."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.control.environments.environment import Environment, advance, begin
from jaxgan.core.state import PyTree

Values = Callable[[jax.Array], jax.Array]
"""(observations float32 [n, D]) -> action values float32 [n, A]."""


class Played(NamedTuple):
    """Episodes, padded to the limit of their environment.

    Attributes:
        states: of the environment before each step, a pytree of arrays [limit, n, ...].
        rewards: float32 [limit, n]; 0 after the end.
        max_q: float32 [limit, n], the highest action value in each state; 0 after the end.
        playing: bool [limit, n], whether the step belongs to the episode.
    """

    states: PyTree
    rewards: jax.Array
    max_q: jax.Array
    playing: jax.Array

    @property
    def returns(self) -> jax.Array:
        """The sum of the rewards of each episode, float32 [n]."""
        return self.rewards.sum(axis=0)

    @property
    def lengths(self) -> jax.Array:
        """The steps of each episode, int32 [n]."""
        return self.playing.sum(axis=0)


def play(environment: Environment, values: Values, key: jax.Array, count: int) -> Played:
    """Plays the action of the highest value in every state. Pure.

    Args:
        environment: to play in.
        values: of the actions.
        key: decides the starts, and what else is random in the environment.
        count: of episodes.
    """
    keys = jax.random.split(key, count)
    episodes = jax.vmap(begin, (None, 0))(environment, keys)

    def step(carry: tuple[PyTree, jax.Array], number: jax.Array) -> tuple[PyTree, Played]:
        episodes, playing = carry
        found = values(jax.vmap(environment.observe)(episodes.state))
        actions = jnp.argmax(found, axis=-1).astype(jnp.int32)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        following, outcome = jax.vmap(lambda *of_one: advance(environment, *of_one))(
            episodes, actions, step_keys
        )
        rewards, max_q = outcome.transition.reward, found.max(axis=-1)
        rewards, max_q = (jnp.where(playing, each, 0.0) for each in (rewards, max_q))
        played = Played(episodes.state, rewards, max_q, playing)
        return (following, playing & ~outcome.ended), played

    start = episodes, jnp.ones(count, bool)
    _, played = jax.lax.scan(step, start, jnp.arange(environment.limit))
    return played


def measure(played: Played) -> dict[str, jax.Array]:
    """Returns the mean return and length of episodes, and the mean of max-Q over their states."""
    # A plain dict would leave a compiled program with its keys sorted.
    return OrderedDict(
        [
            ("eval/return", played.returns.mean()),
            ("eval/length", played.lengths.mean()),
            ("eval/max_q", played.max_q.sum() / played.playing.sum()),
        ]
    )
