import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.kernel import kernel_distance, squared_discrepancy

RANDOM = np.random.default_rng(0)


def by_loops(x, y):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    own = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_the_discrepancy_is_the_sum_over_pairs():
    x, y = RANDOM.normal(size=(7, 3)), RANDOM.normal(size=(5, 3)) + 0.5
    assert squared_discrepancy(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_the_estimate_of_equal_distributions_is_unbiased():
    estimates = [squared_discrepancy(*RANDOM.normal(size=(2, 20, 4))) for _ in range(2000)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates)) < 3 * error
    assert error < 0.01
    assert min(estimates) < 0


def test_the_estimate_of_a_shift_is_its_closed_form():
    """E (xy + 1)^3 is the binomial sum of E x^i E y^i in one dimension."""

    def expected_kernel(a, b):
        moments = [
            (1, mean, mean**2 + 1, mean**3 + 3 * mean)  # of a unit normal with that mean
            for mean in (a, b)
        ]
        return sum(c * m * n for c, m, n in zip((1, 3, 3, 1), *moments, strict=True))

    shift = 0.5
    exact = expected_kernel(0, 0) + expected_kernel(shift, shift) - 2 * expected_kernel(0, shift)
    estimates = [
        squared_discrepancy(RANDOM.normal(size=(50, 1)), RANDOM.normal(size=(50, 1)) + shift)
        for _ in range(1000)
    ]
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * np.std(estimates) / np.sqrt(1000))
    assert exact > 1


def test_subsets_are_drawn_by_the_seed():
    real, fake = RANDOM.normal(size=(2, 60, 3))
    first = kernel_distance(real, fake, seed=1, subset_size=20, subsets=10)
    assert first == kernel_distance(real, fake, seed=1, subset_size=20, subsets=10)
    assert first != kernel_distance(real, fake, seed=2, subset_size=20, subsets=10)
    assert first.sd > 0


def test_a_subset_of_everything_does_not_depend_on_order():
    real, fake = RANDOM.normal(size=(2, 30, 3))
    found = kernel_distance(real, fake, seed=1, subset_size=30, subsets=3)
    assert found.mean == pytest.approx(squared_discrepancy(real, fake), rel=1e-9)
    assert found.sd == pytest.approx(0, abs=1e-12)
    shuffled = kernel_distance(real[::-1], fake[::-1], seed=7, subset_size=30, subsets=1)
    assert shuffled.mean == pytest.approx(found.mean, rel=1e-9)


@pytest.mark.parametrize(("real", "fake", "name"), [(9, 20, "real"), (20, 9, "generated")])
def test_too_few_samples_are_refused(real, fake, name):
    with pytest.raises(UserError, match=rf"^{name} features: 9 samples for subsets of 10"):
        kernel_distance(np.zeros((real, 2)), np.zeros((fake, 2)), seed=0, subset_size=10)


def test_a_subset_of_one_is_refused():
    with pytest.raises(UserError, match="subsets of 1; use more samples, or a subset_size from 2"):
        kernel_distance(np.zeros((9, 2)), np.zeros((9, 2)), seed=0, subset_size=1)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match=r"^generated features: 9 of 9 rows"):
        kernel_distance(np.zeros((9, 2)), np.full((9, 2), np.nan), seed=0, subset_size=5)
