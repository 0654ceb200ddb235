"""Intervals and tests against closed forms, exact enumeration and a published example."""

import itertools

import numpy as np
import pytest

from jaxgan.reporting.statistics import bootstrap, compare_paired, holm


def test_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3.0, 2.0, 1000)
    interval = bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    intervals = [bootstrap(random.exponential(1.0, 60)) for _ in range(60)]
    inside = sum(interval.low <= 1.0 <= interval.high for interval in intervals)
    assert inside >= 51


def test_too_few_values():
    assert np.isnan(bootstrap(np.zeros(0)).mean)
    one = bootstrap(np.array([2.5]))
    assert (one.low, one.mean, one.high) == (2.5, 2.5, 2.5)


def test_signed_rank_p_by_enumeration():
    first = np.zeros(7)
    second = np.array([1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0])
    ranks = np.arange(1, 8)
    positive = np.sum(ranks[second > 0])
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=7)]
    expected = 2 * np.mean(np.array(sums) >= positive)
    found = compare_paired(first, second)
    assert found.p == pytest.approx(expected)
    assert found.mean.mean == pytest.approx(second.mean())
    assert compare_paired(first, first).p == 1.0


def test_correction_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
