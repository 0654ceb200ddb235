import numpy as np
import pytest

from jaxgan.images.evaluation.diversity import class_diversity


def mean_squared_distance(members):
    gaps = np.sum((members[:, None] - members[None]) ** 2, axis=-1)
    return gaps.sum() / (len(members) * (len(members) - 1))


def test_it_compares_the_distances_of_pairs_of_one_class():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(30, 3)), random.normal(size=(40, 3))
    labels, asked = np.arange(30) % 3, np.arange(40) % 4
    of_real, of_fake = (
        sum(mean_squared_distance(rows[classes == label]) for label in range(3))
        for rows, classes in ((real, labels), (fake, asked))
    )
    found = class_diversity(real, labels, fake, asked)
    assert found == pytest.approx(np.sqrt(of_fake / of_real))


def test_the_distance_between_classes_does_not_count():
    random = np.random.default_rng(0)
    real = random.normal(size=(200, 2))
    labels = np.arange(200) % 2
    apart = real + 100 * labels[:, None]
    assert class_diversity(real, labels, apart, labels) == pytest.approx(1)
    assert class_diversity(real, labels, 0.5 * real, labels) == pytest.approx(0.5)
    collapsed = np.array([[1.0, 2.0], [5.0, 6.0]])[labels]
    assert class_diversity(real, labels, collapsed, labels) == 0


def test_sets_without_pairs_have_no_value():
    rows, labels = np.ones((4, 2)), np.arange(4)
    assert np.isnan(class_diversity(rows, labels, rows, labels))
    assert np.isnan(class_diversity(rows, np.zeros(4, int), rows, np.zeros(4, int)))
