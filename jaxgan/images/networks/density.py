"""A kernel estimate of the density of images or points, with a gradient in the sample."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp

from jaxgan.core.errors import UserError

HELD_OUT = 1000
"""The most examples on which the bandwidth and the threshold are found, and at most half of all."""
FACTORS = tuple(2 ** (-exponent / 2) for exponent in range(9))
"""Factors that Scott's bandwidth may be multiplied by: 1 to 1/16."""


class Density(NamedTuple):
    """A mixture of equal Gaussians around examples, on their principal components.

    Attributes:
        mean: float32 [d], of the examples.
        axes: float32 [d, k], the principal components, each divided by its standard deviation.
        centres: float32 [n, k], examples on these axes.
        bandwidth: the standard deviation of the Gaussians.
        threshold: the logarithm of the density that a share of other examples falls below.
    """

    mean: np.ndarray
    axes: np.ndarray
    centres: np.ndarray
    bandwidth: float
    threshold: float


def fit(examples: np.ndarray, components: int, share: float) -> Density:
    """Returns the density of examples.

    The bandwidth is Scott's, n^(-1 / (k + 4)) for n centres in k dimensions of unit variance, times
    the one of `FACTORS` with the highest likelihood of the other examples. Scott's own suits one
    Gaussian: with data in clusters or along curves it also fills the gaps, which is where samples
    of low density belong.

    Args:
        examples: float32 [n, ...], in a random order.
        components: k, or all of the dimensions if they are fewer.
        share: the share, from 0 to 1, of the examples other than the centres that should be below
            the threshold.

    Raises:
        UserError: there are too few examples for the components.
    """
    held_out = min(HELD_OUT, len(examples) // 2)
    rows = examples.reshape(len(examples), -1).astype(np.float64)
    components = min(components, rows.shape[1])
    if len(rows) - held_out <= components:
        raise UserError(
            f"config.density.components={components}: more than the {len(rows) - held_out} "
            "examples that the density is estimated from; choose fewer"
        )
    mean = rows.mean(axis=0)
    _, scales, axes = np.linalg.svd(rows[held_out:] - mean, full_matrices=False)
    sd = scales[:components] / np.sqrt(len(rows) - held_out)
    axes = (axes[:components] / np.maximum(sd, 1e-6)[:, None]).T.astype(np.float32)
    centres = ((rows[held_out:] - mean) @ axes).astype(np.float32)
    scott = len(centres) ** (-1 / (components + 4))
    densities = [
        Density(mean.astype(np.float32), axes, centres, factor * scott, 0.0) for factor in FACTORS
    ]
    others = jnp.asarray(examples[:held_out])
    found = [np.asarray(log_density(density, others)) for density in densities]
    best = int(np.argmax([of_others.mean() for of_others in found]))
    return densities[best]._replace(threshold=float(np.quantile(found[best], share)))


def log_density(density: Density, samples: jax.Array) -> jax.Array:
    """Returns the logarithm of the density of samples [B, ...] on the axes, float32 [B]."""
    centres = jnp.asarray(density.centres)
    places = (samples.reshape(len(samples), -1) - density.mean) @ density.axes
    squares = jnp.sum(places**2, axis=1)[:, None] + jnp.sum(centres**2, axis=1)
    squares -= 2 * jnp.matmul(places, centres.T, precision="highest")
    count, dimensions = centres.shape
    normaliser = np.log(count) + dimensions * np.log(density.bandwidth * np.sqrt(2 * np.pi))
    return logsumexp(-squares / (2 * density.bandwidth**2), axis=1) - normaliser
