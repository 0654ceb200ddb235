"""Losses of adversarial training."""

import jax
import jax.numpy as jnp

from jaxgan.nn.masked import masked_mean


def least_squares(prediction: jax.Array, label: jax.Array | float, valid: jax.Array) -> jax.Array:
    """Returns the least-squares loss [] of a discriminator or a generator.

    The mean of (prediction - label)^2 over the valid entries (Mao et al. 2017, equation 9, without
    the factor 1/2). A label may be NaN where `valid` is false.

    Args:
        prediction: float32 [...], the discriminator's output.
        label: a number, or float32 [...].
        valid: bool [...].
    """
    error = prediction - jnp.where(valid, label, 0)
    return masked_mean(error**2, valid)


def wasserstein(values: jax.Array, real: jax.Array) -> jax.Array:
    """Returns the loss [] of a Wasserstein critic: mean over generated minus mean over real.

    Arjovsky, Chintala and Bottou 2017, algorithm 1. A batch without one of the kinds counts as if
    that mean were 0.

    Args:
        values: float32 [B], the critic's output.
        real: bool [B], which rows are real.
    """
    counts = jnp.where(real, jnp.sum(real), jnp.sum(~real))
    return jnp.sum(jnp.where(real, -1.0, 1.0) * values / counts)


def gradient_penalty(slopes: jax.Array, valid: jax.Array) -> jax.Array:
    """Returns the mean [] of (slope - 1)^2 over the valid entries; 0 if there are none.

    Gulrajani et al. 2017, equation 3, without its weight.

    Args:
        slopes: float32 [B], norms of the critic's gradient between real and generated samples.
        valid: bool [B].
    """
    return masked_mean((slopes - 1) ** 2, valid)
