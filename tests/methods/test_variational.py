"""Variational likelihoods, against SciPy, Monte Carlo and exact sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgan.methods import variational

MEAN, LOG_VARIANCE = np.array([[0.3, -1.2, 0.8]]), np.array([[-1.0, 0.5, 0.2]])


def test_the_kl_equals_its_monte_carlo_estimate_and_is_0_for_the_prior():
    random, sd = np.random.default_rng(0), np.exp(LOG_VARIANCE / 2)
    z = MEAN + sd * random.standard_normal((100_000, 3))
    log_ratio = stats.norm.logpdf(z, MEAN, sd) - stats.norm.logpdf(z)
    found = variational.kl_to_standard_normal(MEAN, LOG_VARIANCE)
    assert float(found[0]) == pytest.approx(log_ratio.sum(axis=1).mean(), rel=0.01)
    np.testing.assert_array_equal(
        variational.kl_to_standard_normal(np.zeros((2, 3)), np.zeros((2, 3))), 0
    )


def test_log_densities():
    x, sd = np.array([[0.5, 2.0, -1.0]]), np.exp(LOG_VARIANCE / 2)
    found = variational.log_normal(x, MEAN, LOG_VARIANCE)
    assert float(found[0]) == pytest.approx(stats.norm.logpdf(x, MEAN, sd).sum(), rel=1e-5)
    # A fixed standard deviation: the squared error over 2 sd^2, and a constant.
    found = variational.log_normal(x, MEAN, 2 * np.log(0.3))
    expected = -np.sum((x - MEAN) ** 2) / (2 * 0.09) - 1.5 * np.log(2 * np.pi * 0.09)
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)
    logits, bits = np.float32([[2.0, -1.0, 0.5]]), np.float32([[1.0, 1.0, 0.0]])
    expected = stats.bernoulli.logpmf(bits, 1 / (1 + np.exp(-logits))).sum()
    assert float(variational.log_bernoulli(bits, logits)[0]) == pytest.approx(expected, rel=1e-5)
    half = float(variational.log_bernoulli(np.full((1, 3), 0.5, np.float32), logits)[0])
    both = [
        float(variational.log_bernoulli(np.full((1, 3), bit, np.float32), logits)[0])
        for bit in (0.0, 1.0)
    ]
    assert half == pytest.approx(np.mean(both), rel=1e-5)


def test_draws_have_the_mean_and_variance():
    shape = (50_000, 3)
    mean, log_variance = (
        np.broadcast_to(values, shape).astype(np.float32) for values in (MEAN, LOG_VARIANCE)
    )
    z = variational.draw_normal(mean, log_variance, jax.random.key(0))
    np.testing.assert_allclose(z.mean(axis=0), MEAN[0], atol=0.03)
    np.testing.assert_allclose(z.var(axis=0), np.exp(LOG_VARIANCE[0]), rtol=0.03)


def test_the_importance_bound():
    log_weights = np.log([[0.2, 3.0], [0.6, 1.0], [0.1, 2.0]])
    np.testing.assert_allclose(
        variational.importance_bound(log_weights), np.log([0.3, 2.0]), rtol=1e-5
    )
    far = jnp.asarray(log_weights - 1000)
    np.testing.assert_allclose(
        variational.importance_bound(far), np.log([0.3, 2.0]) - 1000, rtol=1e-6
    )
    one = variational.importance_bound(log_weights[:1])
    np.testing.assert_allclose(one, log_weights[0], rtol=1e-6)
