"""Intervals of means, and paired tests between two systems measured on the same items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
"""Fixed, so that the same values always give the same interval."""
_BATCH = 500
"""Resamples that scipy holds in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A mean, or another statistic, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """A paired test between two systems.

    Attributes:
        difference: mean and interval of the second system's values minus the first's.
        p: two-sided p-value of Wilcoxon's signed-rank test (1945); 1 if all differences are 0.
    """

    difference: Interval
    p: float


def bootstrap(values: np.ndarray, statistic: Callable[..., Any] = np.mean) -> Interval:
    """Returns the mean of values [n] and its percentile bootstrap interval (Efron 1979).

    All three numbers are NaN without values, and equal for a single value.

    Args:
        values: [n].
        statistic: a function of an array and an axis, used instead of the mean.
    """
    if len(values) < 2:
        mean = float(values[0]) if len(values) else np.nan
        return Interval(mean, mean, mean)
    interval = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=SEED,
    ).confidence_interval
    return Interval(float(statistic(values, axis=0)), float(interval.low), float(interval.high))


def interquartile_mean(values: np.ndarray, axis: int = 0) -> Any:
    """Returns the mean without the highest and the lowest quarter (IQM, Agarwal et al. 2021).

    A quarter of n values are n / 4 of them, rounded down: of five seeds the middle three count.
    """
    return stats.trim_mean(values, 0.25, axis=axis)


def mean_and_half_width(values: np.ndarray) -> tuple[float, float]:
    """Returns the mean of values [n] and the half width of its 95 % Student's t interval.

    The mean is NaN without values; the half width is NaN with fewer than two.
    """
    if len(values) < 2:
        return (float(values[0]) if len(values) else np.nan), np.nan
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(values.mean()), float(quantile * stats.sem(values))


def paired_test(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Returns the paired test between two systems' values [n] of the same items."""
    difference = second - first
    p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    return PairedTest(bootstrap(difference), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values corrected for multiple tests by Holm's step-down method (1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.maximum.accumulate(np.minimum(np.asarray(p_values)[order] * factors, 1.0))
    result = np.empty(len(p_values))
    result[order] = corrected
    return result.tolist()
