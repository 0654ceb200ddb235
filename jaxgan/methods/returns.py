"""Returns and advantages: discounted sums of rewards along a trajectory and the values after it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Return(NamedTuple):
    """The start of a return; the whole of it is `value` + `discount` * the value of a state.

    Attributes:
        value: float32 [B], the discounted sum of the rewards.
        discount: float32 [B], of the value of the state after step `last`; 0 if it is terminal.
        last: int32 [B], the last step of the trajectory that belongs to the episode of the first.
    """

    value: jax.Array
    discount: jax.Array
    last: jax.Array


def n_step(
    rewards: jax.Array, terminated: jax.Array, truncated: jax.Array, discount: float
) -> Return:
    """Returns the n-step returns of trajectories (Sutton and Barto 2018, section 7.1).

    A return stops at the end of an episode. Only a terminal state has the value zero: an episode
    that was cut off by a time limit could have gone on (Pardo et al. 2018).

    Args:
        rewards: float32 [B, n].
        terminated: bool [B, n], whether a step led to a terminal state.
        truncated: bool [B, n], whether the episode was cut off after a step.
        discount: the discount of a reward one step later.
    """
    steps = rewards.shape[1]
    proceeds = ~(terminated | truncated)[:, :-1]
    first = jnp.ones_like(proceeds, shape=(len(rewards), 1))
    belongs = jnp.cumprod(jnp.concatenate([first, proceeds], axis=1), axis=1)
    powers = discount ** jnp.arange(steps, dtype=rewards.dtype)
    last = jnp.sum(belongs, axis=1) - 1
    at_end = jnp.take_along_axis(terminated, last[:, None], axis=1)[:, 0]
    value = jnp.sum(belongs * powers * rewards, axis=1)
    return Return(value, jnp.where(at_end, 0.0, discount * powers[last]), last)


def generalised_advantages(
    rewards: jax.Array,
    values: jax.Array,
    following: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: float,
    decay: float,
) -> jax.Array:
    """Returns generalised advantage estimates (GAE, Schulman et al. 2016), float32 [T, ...].

    The advantage plus `values` is the return that TD(lambda) learns. As in `n_step`, only a
    terminal state has the value zero. An episode that was cut off continues with the value of its
    final observation, but no later step has a part in its advantages.

    Args:
        rewards: float32 [T, ...], of T steps in order.
        values: float32 [T, ...], of the states before the steps.
        following: float32 [T, ...], of the states after the steps; at the end of an episode that of
            its final state, not of the first one of the next episode.
        terminated: bool [T, ...], whether a step led to a terminal state.
        truncated: bool [T, ...], whether the episode was cut off after a step.
        discount: the discount of a reward one step later, gamma.
        decay: the decay of an error one step later, lambda; 0 gives errors of one step, 1
            discounted sums.
    """
    errors = rewards + discount * jnp.where(terminated, 0.0, following) - values
    factors = jnp.where(terminated | truncated, 0.0, discount * decay)

    def step(after: jax.Array, of_step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        error, factor = of_step
        advantage = error + factor * after
        return advantage, advantage

    _, advantages = jax.lax.scan(step, jnp.zeros_like(errors[0]), (errors, factors), reverse=True)
    return advantages
