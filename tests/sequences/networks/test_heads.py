"""What a network's outputs say about the next value."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgan.sequences.networks.heads import Characters, PenPoints, log_density

COMPONENTS = 3


def outputs():
    """The 19 outputs of three components, in no special place."""
    return np.random.default_rng(0).normal(0, 0.7, 6 * COMPONENTS + 1)


def by_hand(numbers, offset):
    """The density of the mixture at an offset, by SciPy in float64."""
    weights, mean_x, mean_y, log_x, log_y, angle = np.split(numbers[:-1], 6)
    shares = np.exp(weights) / np.exp(weights).sum()
    total = 0.0
    for j, share in enumerate(shares):
        x, y, rho = math.exp(log_x[j]), math.exp(log_y[j]), math.tanh(angle[j])
        covariance = [[x * x, rho * x * y], [rho * x * y, y * y]]
        normal = stats.multivariate_normal([mean_x[j], mean_y[j]], covariance)
        total += share * normal.pdf(offset)
    return total


@pytest.mark.parametrize("pen", [0.0, 1.0])
def test_log_density_of_a_point_equals_scipy_s(pen):
    numbers, offset = outputs(), np.array([0.4, -1.1])
    lifted = 1 / (1 + math.exp(-numbers[-1]))
    expected = -math.log(by_hand(numbers, offset)) - math.log(lifted if pen else 1 - lifted)
    value = jnp.array([*offset, pen])
    found = PenPoints(COMPONENTS).nll(jnp.asarray(numbers, jnp.float32), value)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_density_of_the_mixture_integrates_to_one():
    step = 0.05
    grid = np.arange(-16, 16, step)
    with jax.enable_x64(True):
        places = jnp.asarray(np.stack(np.meshgrid(grid, grid), axis=-1))
        density = jnp.exp(log_density(jnp.asarray(outputs()[:-1]), places))
        assert float(density.sum()) * step**2 == pytest.approx(1, abs=1e-6)


def test_a_nearly_perfect_correlation_has_a_finite_density_and_gradient():
    numbers = jnp.zeros(6).at[5].set(6.0)  # 1 - tanh(6)^2 is 2.5e-5
    value, gradient = jax.value_and_grad(log_density)(numbers, jnp.array([0.1, 0.1]))
    exact = -math.log(2 * math.pi) + math.log(math.cosh(6)) - 0.01 / (1 + math.tanh(6))
    assert float(value) == pytest.approx(exact, rel=1e-4)
    assert np.isfinite(gradient).all()


def test_drawn_points_have_the_moments_of_their_component():
    x, y, rho = 0.5, 2.0, 0.6
    numbers = jnp.array([0.0, 1.0, -2.0, math.log(x), math.log(y), math.atanh(rho), 1.0])
    many = jnp.broadcast_to(numbers, (40_000, 7))
    drawn = np.asarray(PenPoints(1).draw(jax.random.key(0), many, jnp.float32(0)), np.float64)
    np.testing.assert_allclose(drawn[:, :2].mean(axis=0), [1, -2], atol=0.04)
    covariance = np.cov(drawn[:, :2].T)
    np.testing.assert_allclose(
        covariance, [[x * x, rho * x * y], [rho * x * y, y * y]], rtol=0.03, atol=0.01
    )
    assert drawn[:, 2].mean() == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)


def test_a_bias_narrows_the_components_and_prefers_the_likeliest():
    numbers = jnp.array([0.0, 1.0, 5.0, -5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    many, bias = jnp.broadcast_to(numbers, (20_000, 13)), 1.5
    drawn = np.asarray(PenPoints(2).draw(jax.random.key(1), many, jnp.float32(bias)))
    second = drawn[:, 0] < 0
    assert second.mean() == pytest.approx(1 / (1 + math.exp(-(1 + bias))), abs=0.01)
    assert drawn[second, 1].std() == pytest.approx(math.exp(-bias), rel=0.03)


def test_characters_have_a_softmax_and_a_temperature():
    head, logits = Characters(4), jnp.array([0.5, -1.0, 2.0, 0.0])
    shares = np.exp(logits) / np.exp(logits).sum()
    assert float(head.nll(logits, jnp.int32(2))) == pytest.approx(-math.log(shares[2]), rel=1e-6)
    np.testing.assert_array_equal(head.inputs(jnp.int32(2)), [0, 0, 1, 0])
    many = jnp.broadcast_to(logits, (20_000, 4))
    drawn = np.asarray(head.draw(jax.random.key(0), many, jnp.float32(0.5)))
    sharper = shares**2 / (shares**2).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, sharper, atol=0.01)
