"""Distances between images: how large they are, and whether a translation keeps them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import pdist

from jaxgan.images.data.batches import to_floats

MEASURED = 900
"""The most random images whose distances are measured; DistanceGAN's authors use the same
number."""
COMPARED = 100
"""The most images of which every pair is compared."""


class Statistics(NamedTuple):
    """The mean and the standard deviation of the distances in a domain."""

    mean: float
    sd: float


UNKNOWN = Statistics(0.0, 1.0)
"""Leaves distances as they are."""


def measure(
    values: np.ndarray, distances: Callable[[jax.Array], jax.Array], seed: int
) -> Statistics:
    """Returns the mean and the standard deviation of the distances in a domain.

    Args:
        values: uint8 [n, S, S, C].
        distances: (images in random order, float32 [m, S, S, C] from -1 to 1) -> float32 [m].
        seed: the seed of the order.
    """
    order = np.random.default_rng(seed).permutation(len(values))[:MEASURED]
    found = np.asarray(distances(to_floats(jnp.asarray(values[order]))), np.float64)
    return Statistics(float(found.mean()), float(found.std()))


def distance_correlation(source: np.ndarray, made: np.ndarray) -> float:
    """Returns Pearson's correlation of the distances before and after a translation.

    It is over all pairs of the first `COMPARED` images, and NaN if all distances are equal.

    Args:
        source: uint8 [n, S, S, C].
        made: uint8 [n, S, S, C], the translation of each.
    """
    before, after = (
        pdist(each[:COMPARED].reshape(min(len(each), COMPARED), -1), "cityblock")
        for each in (source, made)
    )
    if len(before) < 2 or not before.std() or not after.std():
        return math.nan
    return float(np.corrcoef(before, after)[0, 1])
