"""What a difference of scores is worth: bootstrap intervals and paired tests over utterances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
_AT_ONCE = 500
"""Resamples that are drawn together, so that memory stays small."""


@dataclass(frozen=True)
class Interval:
    """A mean with the interval that holds it with a probability of 95 %."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How the scores of the same utterances differ between two systems.

    Attributes:
        mean: with its interval, of the second system's scores minus the first's.
        p: of Wilcoxon's signed-rank test (1945), two-sided: how often differences like these come
            about by chance. 1 where nothing differs.
    """

    mean: Interval
    p: float


def bootstrap(values: np.ndarray, seed: int = 0) -> Interval:
    """The mean of values [n], and its percentile interval by resampling them (Efron 1979).

    NaN where there is no value; no width where there is one.
    """
    if len(values) == 0:
        return Interval(np.nan, np.nan, np.nan)
    random = np.random.default_rng(seed)
    means = [
        values[random.integers(len(values), size=(_AT_ONCE, len(values)))].mean(axis=1)
        for _ in range(RESAMPLES // _AT_ONCE)
    ]
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(np.concatenate(means), ends)
    return Interval(float(values.mean()), float(low), float(high))


def compare_paired(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of two systems' scores [n] of the same utterances."""
    difference = second - first
    if not difference.any():
        return Difference(bootstrap(difference), 1.0)
    return Difference(bootstrap(difference), float(stats.wilcoxon(difference).pvalue))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm 1979): each test may be looked at."""
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.maximum.accumulate(np.minimum(np.asarray(values)[order] * factors, 1.0))
    result = np.empty(len(values))
    result[order] = corrected
    return result.tolist()
