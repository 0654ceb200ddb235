"""Likelihoods of variational models. All sum over the values of a sample and none over samples."""

import math

import jax
import jax.numpy as jnp
import optax


def kl_to_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Returns KL(N(mean, variance) || N(0, I)) [B] of Gaussians with diagonal covariance.

    Kingma and Welling 2014, appendix B. It is at least 0.

    Args:
        mean: float [B, d].
        log_variance: float [B, d].
    """
    return jnp.sum(mean**2 + jnp.exp(log_variance) - log_variance - 1, axis=-1) / 2


def draw_normal(mean: jax.Array, log_variance: jax.Array, key: jax.Array) -> jax.Array:
    """Returns mean + sd e with e from N(0, I), [B, d], differentiable in mean and variance."""
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape, mean.dtype)


def log_normal(x: jax.Array, mean: jax.Array | float, log_variance: jax.Array | float) -> jax.Array:
    """Returns log N(x; mean, variance) [B], with diagonal covariance.

    Args:
        x: float [B, d].
        mean: the mean, of the same shape or one that broadcasts.
        log_variance: the logarithm of the variance, of a shape like that of the mean.
    """
    squares = (x - mean) ** 2 * jnp.exp(-jnp.asarray(log_variance))
    return -jnp.sum(squares + log_variance + math.log(2 * math.pi), axis=-1) / 2


def log_bernoulli(x: jax.Array, logits: jax.Array) -> jax.Array:
    """Returns log p(x) [B] of independent Bernoulli values.

    Args:
        x: float [B, d], 0 or 1; a value between them is the probability of a 1, and the result is
            then the mean over both outcomes.
        logits: float [B, d].
    """
    return -jnp.sum(optax.sigmoid_binary_cross_entropy(logits, x), axis=-1)


def importance_bound(log_weights: jax.Array) -> jax.Array:
    """Returns log of the mean weight [B], a lower bound of log p(x) in expectation.

    Burda, Grosse and Salakhutdinov 2016, equation 8. With one weight it is the evidence lower
    bound, and it grows with their number.

    Args:
        log_weights: float [k, B], log p(x, z) - log q(z|x) for k draws of z from q.
    """
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(len(log_weights))
