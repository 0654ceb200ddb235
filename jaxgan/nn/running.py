"""The mean and the variance of a sequence over the steps so far."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

REMEMBERED = 500
"""The number of steps after which old ones are forgotten: 8 s of frames that are 16 ms apart. Noise
changes within a long recording; a generator that normalises its input did best in pieces of 8 s
(`speech.long_audio.PIECE`)."""


class Moments(NamedTuple):
    """The moments of the steps so far.

    Attributes:
        steps: float32 [], the number of steps, at most `REMEMBERED`.
        mean: float32 [B, C].
        variance: float32 [B, C].
    """

    steps: jax.Array
    mean: jax.Array
    variance: jax.Array


def no_moments(batch: int, channels: int) -> Moments:
    """Returns the moments before the first step."""
    zero = jnp.zeros((batch, channels), jnp.float32)
    return Moments(jnp.zeros((), jnp.float32), zero, zero)


def running_moments(x: jax.Array, moments: Moments) -> tuple[jax.Array, jax.Array, Moments]:
    """Returns the mean and the variance at every step, over it and the steps before it.

    They are the population moments of the first `REMEMBERED` steps. From then on every step has the
    weight 1 / REMEMBERED, and the weights of older ones decay exponentially (West, Communications
    of the ACM 22(9), 1979).

    Args:
        x: float32 [B, T, C].
        moments: the moments of the steps before.

    Returns:
        The means and the variances, float32 [B, T, C] each, and the moments after the last step.
    """

    def step(before: Moments, x: jax.Array) -> tuple[Moments, tuple[jax.Array, jax.Array]]:
        steps = jnp.minimum(before.steps + 1, REMEMBERED)
        weight = 1 / steps
        difference = x - before.mean
        mean = before.mean + weight * difference
        variance = (1 - weight) * (before.variance + weight * difference**2)
        return Moments(steps, mean, variance), (mean, variance)

    after, (means, variances) = jax.lax.scan(step, moments, jnp.moveaxis(x, 1, 0))
    return jnp.moveaxis(means, 0, 1), jnp.moveaxis(variances, 0, 1), after
