"""Distances between images against loops, and translations that keep them or do not."""

import itertools
import math

import numpy as np
import pytest

from jaxgan.images.evaluation.distances import COMPARED, distance_correlation, measure


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), np.uint8)


def test_the_correlation_is_over_all_pairs():
    source, made = images(5), images(5, 1)
    pairs = [
        [
            np.abs(each[i].astype(float) - each[j]).sum()
            for i, j in itertools.combinations(range(5), 2)
        ]
        for each in (source, made)
    ]
    expected = np.corrcoef(*pairs)[0, 1]
    assert distance_correlation(source, made) == pytest.approx(expected)


def test_what_keeps_distances_and_what_cannot():
    source = images(COMPARED + 5)
    assert distance_correlation(source, 255 - source) == pytest.approx(1)
    other = source.copy()
    other[COMPARED:] = 0  # beyond those that are compared
    assert distance_correlation(source, other) == pytest.approx(1)
    assert math.isnan(distance_correlation(source, np.zeros_like(source)))
    assert math.isnan(distance_correlation(source[:2], source[:2]))


def test_the_statistics_are_those_of_random_images():
    values = np.full((2000, 2, 2, 1), 255, np.uint8)
    values[:1000] = 0
    found = measure(values, lambda x: x.mean(axis=(1, 2, 3)), 0)
    # 900 of images that are black or white, in any order: a mean of 0 with a deviation of 1.
    assert found.mean == pytest.approx(0, abs=0.1)
    assert found.sd == pytest.approx(1, abs=0.01)
    assert measure(values, lambda x: x.mean(axis=(1, 2, 3)), 0) == found
