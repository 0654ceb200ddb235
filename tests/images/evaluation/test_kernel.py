import numpy as np
import pytest

from jaxgan.images.evaluation.kernel import squared_discrepancy

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
