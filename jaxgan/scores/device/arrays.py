"""Array operations that several device scores share."""

import jax
import jax.numpy as jnp


def shift(values: jax.Array, steps: int) -> jax.Array:
    """Returns values [B, n] moved to later positions, or to earlier ones if `steps` is negative.

    Zeros or False move in; values that move past an end are dropped.
    """
    later, earlier = max(steps, 0), max(-steps, 0)
    padded = jnp.pad(values, ((0, 0), (later, earlier)))
    return padded[:, earlier : earlier + values.shape[1]]


def safe_sqrt(square: jax.Array) -> jax.Array:
    """Returns the square root, with the gradient 0 at 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
