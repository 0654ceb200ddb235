"""Means and variances over the valid part of padded batches."""

import jax
import jax.numpy as jnp


def masked_mean(
    x: jax.Array, mask: jax.Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> jax.Array:
    """Returns the mean of x where mask is 1, or 0 if no element is valid.

    The result is float32 if x is bfloat16.

    Args:
        x: [...].
        mask: 0 or 1, broadcastable to x.
        axis: axes of x to average over; all by default.
        keepdims: keep those axes with length 1.
    """
    # bfloat16 cannot represent every integer above 256.
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    weights = jnp.broadcast_to(mask, x.shape).astype(x.dtype)
    total = jnp.sum(jnp.where(weights > 0, x, 0), axis=axis, keepdims=keepdims)
    return total / jnp.maximum(jnp.sum(weights, axis=axis, keepdims=keepdims), 1)


def masked_moments(
    x: jax.Array, mask: jax.Array, axis: int | tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Returns the mean and the population variance of x where mask is 1, keeping those axes."""
    mean = masked_mean(x, mask, axis, keepdims=True)
    return mean, masked_mean((x - mean) ** 2, mask, axis, keepdims=True)
