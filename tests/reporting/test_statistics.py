"""Intervals and tests against closed forms, exact enumeration and worked examples."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxgan.reporting.statistics import (
    bootstrap,
    holm,
    interquartile_mean,
    mean_and_half_width,
    paired_test,
)

NAN = float("nan")


def test_bootstrap_of_many_values_matches_the_normal_distribution():
    values = np.random.default_rng(0).normal(3.0, 2.0, 1000)
    interval = bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_claims():
    random = np.random.default_rng(1)
    intervals = [bootstrap(random.exponential(1.0, 60)) for _ in range(60)]
    inside = sum(interval.low <= 1.0 <= interval.high for interval in intervals)
    assert inside >= 51


def test_bootstrap_of_the_same_values_is_the_same():
    values = np.random.default_rng(2).normal(size=30)
    assert bootstrap(values) == bootstrap(values.copy())


def test_bootstrap_of_too_few_or_equal_values():
    assert np.isnan(bootstrap(np.zeros(0)).mean)
    for values in (np.array([2.5]), np.full(4, 2.5)):
        interval = bootstrap(values)
        assert (interval.low, interval.mean, interval.high) == (2.5, 2.5, 2.5)


def test_half_width_is_that_of_the_t_distribution():
    values = np.random.default_rng(0).standard_normal(12) + 3
    mean, half = mean_and_half_width(values)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert mean_and_half_width(np.array([2.0])) == pytest.approx((2.0, NAN), nan_ok=True)
    assert mean_and_half_width(np.zeros(0)) == pytest.approx((NAN, NAN), nan_ok=True)


def test_signed_rank_p_by_enumeration():
    first = np.zeros(7)
    second = np.array([1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0])
    ranks = np.arange(1, 8)
    positive = np.sum(ranks[second > 0])
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=7)]
    expected = 2 * np.mean(np.array(sums) >= positive)
    test = paired_test(first, second)
    assert test.p == pytest.approx(expected)
    assert test.difference.mean == pytest.approx(second.mean())
    assert paired_test(first, first).p == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert interquartile_mean(np.array([90.0, 1, 2, 6, -50])) == 3
    assert interquartile_mean(np.array([7.0, 3])) == 5
    values = np.random.default_rng(5).normal(size=40)
    assert interquartile_mean(values) == pytest.approx(np.sort(values)[10:30].mean())
    interval = bootstrap(values, interquartile_mean)
    assert interval.low < interval.mean < interval.high
    assert interval.mean == interquartile_mean(values)
    # An outlier moves the mean, but not the middle.
    values[0] = 1e6
    assert bootstrap(values, interquartile_mean).high < 2
