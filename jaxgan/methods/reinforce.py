"""The policy gradient and its baselines."""

import jax
import jax.numpy as jnp


def leave_one_out(rewards: jax.Array, valid: jax.Array, axis: int) -> jax.Array:
    """Returns the advantage of each sample over the mean of the other samples, float32 [...].

    A sample's own reward is not in its baseline, so the gradient stays unbiased (Kool, van Hoof and
    Welling 2019). The advantage is 0 for an invalid sample, and for a sample without others. If all
    rewards are equal it is exactly 0: Adam would turn a rounding error into a step of full size.

    Args:
        rewards: float32 [...]; entries that are not valid may be NaN.
        valid: bool, of the same shape.
        axis: along which the samples are compared.
    """
    lowest = jnp.min(rewards, axis=axis, keepdims=True, initial=jnp.inf, where=valid)
    values = jnp.where(valid, rewards - lowest, 0)
    others = jnp.sum(valid, axis=axis, keepdims=True) - 1
    total = jnp.sum(values, axis=axis, keepdims=True)
    mean = (total - values) / jnp.maximum(others, 1)
    return jnp.where(valid & (others > 0), values - mean, 0)


def reinforce(log_probability: jax.Array, advantage: jax.Array) -> jax.Array:
    """Returns the terms [...] whose gradient is minus that of the expected reward (Williams 1992).

    Args:
        log_probability: float32 [...], of what was drawn.
        advantage: float32 [...]; a constant under differentiation.
    """
    return -jax.lax.stop_gradient(advantage) * log_probability
