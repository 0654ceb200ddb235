"""How far samples of one class are from each other."""

import math

import numpy as np

from jaxgan.images.evaluation.features import checked_pair


def class_diversity(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> float:
    """Returns the root mean squared distance of two samples of one class over that of real ones.

    It is around 1 if the classes are as varied as the real ones, and 0 if each class is one sample.
    The mean squared distance of two members of a class is twice its variance, summed over the
    features; classes have equal weight. Classes with fewer than two members in either set do not
    count; if there is no other one, or if real members do not differ, the result is NaN.

    Args:
        real: float [n, d], features or pixels.
        real_labels: int [n].
        fake: float [m, d].
        fake_labels: int [m], the classes that were asked for.

    Raises:
        UserError: features are not finite or do not match.
    """
    real, fake = checked_pair(real, fake)
    spreads = [
        (_variance(real[real_labels == label]), _variance(fake[fake_labels == label]))
        for label in np.unique(real_labels[real_labels >= 0])
        if np.sum(real_labels == label) > 1 and np.sum(fake_labels == label) > 1
    ]
    of_real, of_fake = np.sum(spreads, axis=0) if spreads else (0.0, 0.0)
    return float(np.sqrt(of_fake / of_real)) if of_real else math.nan


def _variance(members: np.ndarray) -> float:
    """Returns the unbiased variance, summed over the features."""
    return float(members.var(axis=0, ddof=1).sum())
