"""Metrics of nearest neighbours in a space of features.

Distances are computed in blocks of rows, so that memory grows with the number of samples only.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked, checked_pair

BLOCK = 10_000_000
"""Distances in memory at a time: 80 MB."""
ROUNDING = 1e-13
"""A squared distance below this share of the squared norms is rounding error of a distance of 0."""


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1: of generated samples that look real, of real ones that G can make."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is around 1, coverage near 1, if the distributions are equal."""

    density: float
    coverage: float


class TrainingDistance(NamedTuple):
    """Mean distances to the nearest training image.

    Attributes:
        samples: the distance of generated images.
        held_out: the distance of real images that were not trained on.
        ratio: the first over the second. A generator that copies is well below 1.
    """

    samples: float
    held_out: float
    ratio: float


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> PrecisionRecall:
    """Returns the improved precision and recall of Kynkäänniemi et al. 2019, equations 1 and 2.

    A sample is inside a set if it is no farther from one of the set's members than that member is
    from its k-th nearest neighbour in the set.

    Args:
        real: float [n, d].
        fake: float [m, d].
        k: 3 as in the paper; below n and m.

    Raises:
        UserError: features are not finite or do not match, or one of the sets has k samples or
            fewer.
    """
    real, fake = checked_pair(real, fake)
    radii_real, radii_fake = _radii(real, k, "real features"), _radii(fake, k, "generated features")
    looks_real, is_made = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, distances in _blocks(fake, real):
        looks_real[rows] = (distances <= radii_real).any(axis=1)
        is_made |= (distances <= radii_fake[rows, None]).any(axis=0)
    return PrecisionRecall(float(looks_real.mean()), float(is_made.mean()))


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> DensityCoverage:
    """Returns density and coverage of Naeem et al. 2020.

    Density is the mean number of balls around real samples that contain a generated sample, divided
    by k. Coverage is the share of these balls that have a generated sample inside. The radius of a
    ball is the distance to the k-th nearest other real sample.

    Args:
        real: float [n, d].
        fake: float [m, d].
        k: 5 as in the paper; below n.

    Raises:
        UserError: features are not finite or do not match, or there are at most k real samples.
    """
    real, fake = checked_pair(real, fake)
    radii = _radii(real, k, "real features")
    total, covered = 0, np.zeros(len(real), bool)
    for _, distances in _blocks(fake, real):
        inside = distances <= radii
        total += int(inside.sum())
        covered |= inside.any(axis=0)
    return DensityCoverage(total / (k * len(fake)), float(covered.mean()))


def nearest(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the Euclidean distance to the nearest reference, and its index, both [n].

    Args:
        queries: float64 [n, d].
        references: float64 [m, d].
    """
    distances, indices = np.zeros(len(queries)), np.zeros(len(queries), int)
    for rows, block in _blocks(queries, references):
        indices[rows] = block.argmin(axis=1)
        distances[rows] = np.sqrt(block.min(axis=1))
    return distances, indices


def training_distance(
    train: np.ndarray, held_out: np.ndarray, samples: np.ndarray
) -> TrainingDistance:
    """Returns how near samples and other real images are to the training images.

    Args:
        train: float [n, d], features of all images that the generator was trained on, or pixels.
        held_out: float [m, d], the same of real images that it was not trained on.
        samples: float [k, d], the same of generated images.

    Raises:
        UserError: features are not finite or do not match, or every held-out image is a training
            image.
    """
    train = checked(train, "training features")
    held_out = checked(held_out, "held-out features", train.shape[1])
    samples = checked(samples, "generated features", train.shape[1])
    of_samples, of_held_out = (
        float(nearest(queries, train)[0].mean()) for queries in (samples, held_out)
    )
    if of_held_out == 0:
        raise UserError(
            "held-out features: every image is also a training image; use images that the "
            "generator was not trained on"
        )
    return TrainingDistance(of_samples, of_held_out, of_samples / of_held_out)


def closest_pairs(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the closest pairs of different rows, nearest first.

    Args:
        features: float64 [n, d].
        count: the number of pairs; at most n (n - 1) / 2.

    Returns:
        float64 [count], their Euclidean distances; and int [count, 2], their rows, the lower first.
    """
    squares, pairs = np.zeros(0), np.zeros((0, 2), int)
    columns = np.arange(len(features))
    for rows, distances in _blocks(features, features):
        limit = squares[-1] if len(squares) == count else np.inf
        later = columns > columns[rows, None]
        first, second = np.nonzero(later & (distances < limit))
        found = distances[first, second]
        if len(found) > count:
            chosen = np.argpartition(found, count - 1)[:count]
            first, second, found = first[chosen], second[chosen], found[chosen]
        squares = np.concatenate([squares, found])
        pairs = np.concatenate([pairs, np.stack([first + rows.start, second], axis=1)])
        best = np.argsort(squares, kind="stable")[:count]
        squares, pairs = squares[best], pairs[best]
    return np.sqrt(squares), pairs


def first_collision(features: np.ndarray, threshold: float) -> float:
    """Returns the number of rows, from the first on, until two are closer than a threshold.

    Args:
        features: float64 [n, d].
        threshold: a Euclidean distance.

    Returns:
        From 2 to n; infinity if no two of them are that close.
    """
    columns = np.arange(len(features))
    for rows, distances in _blocks(features, features):
        earlier = columns < columns[rows, None]
        collides = (earlier & (distances < threshold**2)).any(axis=1)
        if collides.any():
            return float(rows.start + int(collides.argmax()) + 1)
    return float(np.inf)


def _blocks(queries: np.ndarray, references: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields rows of the queries and their squared distances [rows, m] to all references."""
    # |x|^2 - 2 x·y + |y|^2 loses digits where the norms are much larger than the distance.
    centre = references.mean(axis=0)
    queries, references = queries - centre, references - centre
    norms = np.sum(references**2, axis=1)
    step = max(1, BLOCK // len(references))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        scale = np.sum(block**2, axis=1)[:, None] + norms
        distances = scale - 2 * block @ references.T
        distances[distances < ROUNDING * scale] = 0
        yield slice(start, start + len(block)), distances


def _radii(features: np.ndarray, k: int, name: str) -> np.ndarray:
    """Returns the squared distance [n] of each row to its k-th nearest other row."""
    if not 1 <= k < len(features):
        raise UserError(
            f"{name}: {len(features)} samples have no {k}-th nearest neighbour; use more samples "
            "or another k"
        )
    radii = np.zeros(len(features))
    for rows, distances in _blocks(features, features):
        own = np.arange(len(distances))
        distances[own, own + rows.start] = np.inf
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii
