"""The Fréchet distance between Gaussians that are fitted to features (Heusel et al. 2017)."""

from dataclasses import dataclass

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked


@dataclass(frozen=True)
class Moments:
    """The moments of a set of features, from which the distance is computed.

    Attributes:
        mean: float64 [d].
        covariance: float64 [d, d], unbiased.
        count: the number of samples.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int


@dataclass(frozen=True)
class FrechetDistance:
    """A distance and the numbers of samples to print with it, since few samples make it larger.

    Attributes:
        value: at least 0; the square of a metric.
        real_count: number of real samples.
        fake_count: number of generated samples.
    """

    value: float
    real_count: int
    fake_count: int


def moments(features: np.ndarray, name: str) -> Moments:
    """Returns the moments of features.

    Args:
        features: float [n, d] with n > d.
        name: what the features belong to, for messages.

    Raises:
        UserError: the features are not finite or not [n, d], or n is at most d: the covariance is
            then singular and the distance is mostly error.
    """
    features = checked(features, name)
    count, dimensions = features.shape
    if count <= dimensions:
        raise UserError(
            f"{name}: {count} samples are too few for the covariance of {dimensions} features; use "
            f"at least {dimensions + 1}"
        )
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    return Moments(features.mean(axis=0), covariance, count)


def frechet_distance(real: Moments, fake: Moments) -> FrechetDistance:
    """Returns |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Heusel et al. 2017.

    The trace of the root is the sum of the square roots of the eigenvalues of the symmetric matrix
    S1^(1/2) S2 S1^(1/2), which are real; a general matrix square root can return complex values.

    Raises:
        UserError: the moments have different dimensions.
    """
    if real.mean.shape != fake.mean.shape:
        raise UserError(
            f"generated features: rows of {len(fake.mean)} numbers cannot be compared with rows of "
            f"{len(real.mean)}; compute both with the same network"
        )
    values, vectors = np.linalg.eigh(real.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = root @ fake.covariance @ root
    # Rounding makes the product unsymmetric, and eigenvalues of 0 negative.
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    trace_of_root = np.sum(np.sqrt(np.maximum(eigenvalues, 0)))
    spread = np.trace(real.covariance) + np.trace(fake.covariance) - 2 * trace_of_root
    value = float(np.sum((real.mean - fake.mean) ** 2) + spread)
    return FrechetDistance(max(value, 0.0), real.count, fake.count)


def frechet_floor(real: np.ndarray, seed: int) -> FrechetDistance:
    """Returns the distance between two random halves of real features.

    No generator should be expected to come closer than this with as many samples as a half has.

    Args:
        real: float [n, d] with n at least 2 d + 2.
        seed: the seed of the division.

    Raises:
        UserError: as for `moments`, applied to a half.
    """
    real = checked(real, "real features")
    order = np.random.default_rng(seed).permutation(len(real))
    halves = np.array_split(real[order], 2)
    first, second = (moments(half, "a half of the real features") for half in halves)
    return frechet_distance(first, second)
