import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods.adversarial import gradient_penalty, least_squares, wasserstein

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(2, 3))
MASK = np.array([[1, 0, 1], [1, 1, 0]], bool)


@pytest.mark.parametrize("label", [0.25, RANDOM.normal(size=(2, 3))], ids=["number", "array"])
def test_least_squares_is_the_mean_over_valid_entries(label):
    labels = np.where(MASK, label, np.nan)
    expected = np.mean((VALUES - labels)[MASK] ** 2)
    step = jax.value_and_grad(lambda values: least_squares(values, jnp.asarray(labels), MASK))
    found, gradient = step(jnp.asarray(VALUES))
    assert float(found) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(
        gradient, np.where(MASK, 2 * (VALUES - np.where(MASK, labels, 0)) / 4, 0), rtol=1e-5
    )


def test_wasserstein_is_the_difference_of_the_means():
    values, real = RANDOM.normal(size=6), np.array([1, 1, 0, 1, 0, 1], bool)
    expected = values[~real].mean() - values[real].mean()
    found, gradient = jax.value_and_grad(wasserstein)(jnp.asarray(values), jnp.asarray(real))
    assert float(found) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(gradient, np.where(real, -1 / 4, 1 / 2), rtol=1e-6)


@pytest.mark.parametrize("kind", [True, False])
def test_wasserstein_of_one_kind_is_its_own_mean(kind):
    values, real = np.array([1.0, 2.0, 6.0]), np.full(3, kind)
    step = jax.value_and_grad(wasserstein)
    found, gradient = step(jnp.asarray(values), jnp.asarray(real))
    sign = -1 if kind else 1
    assert float(found) == pytest.approx(3 * sign)
    np.testing.assert_allclose(gradient, np.full(3, sign / 3), rtol=1e-6)


def test_the_gradient_penalty_is_the_mean_over_valid_entries():
    slopes, valid = np.array([1.0, 3.0, 0.5, 9.0]), np.array([1, 1, 1, 0], bool)
    found = gradient_penalty(jnp.asarray(slopes), jnp.asarray(valid))
    assert float(found) == pytest.approx((0 + 4 + 0.25) / 3)
    assert float(gradient_penalty(jnp.asarray(slopes), jnp.zeros(4, bool))) == 0
