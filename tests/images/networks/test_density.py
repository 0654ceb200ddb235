"""The kernel density against its definition."""

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxgan.core.errors import UserError
from jaxgan.images.networks import density

POINTS = np.random.default_rng(0).normal(0, [2, 0.5], (1200, 2)).astype(np.float32)


def test_the_density_is_a_mean_of_gaussians_on_whitened_axes():
    fitted = density.fit(POINTS, 5, 0.1)
    assert fitted.centres.shape == (600, 2)
    np.testing.assert_allclose(np.cov(fitted.centres.T), np.eye(2), atol=0.02)
    assert fitted.bandwidth <= 600 ** (-1 / 6)
    places = (POINTS[:9] - fitted.mean) @ fitted.axes
    expected = [
        np.mean(multivariate_normal.pdf(fitted.centres, place, fitted.bandwidth**2 * np.eye(2)))
        for place in places
    ]
    found = density.log_density(fitted, POINTS[:9])
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-4, atol=1e-4)


def test_the_bandwidth_is_the_most_likely_one():
    """For a Gaussian about Scott's; for points on a circle a much smaller one, which spares the
    centre of the circle.
    """
    scott = 600 ** (-1 / 6)
    assert density.fit(POINTS, 2, 0.1).bandwidth >= scott / 2
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, 1200)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    fitted = density.fit(circle, 2, 0.1)
    assert fitted.bandwidth < scott / 4
    centre = np.zeros((1, 2), np.float32)
    assert density.log_density(fitted, centre)[0] < fitted.threshold - 10
    likelihood, of_scott = (
        density.log_density(fitted._replace(bandwidth=width), circle[:600]).mean()
        for width in (fitted.bandwidth, scott)
    )
    assert likelihood > of_scott


def test_a_share_of_other_examples_is_below_the_threshold():
    fitted = density.fit(POINTS, 2, 0.1)
    below = density.log_density(fitted, POINTS[:600]) < fitted.threshold
    assert np.mean(below) == pytest.approx(0.1, abs=0.01)


def test_the_gradient_points_to_the_data():
    fitted = density.fit(POINTS, 2, 0.1)
    slope = jax.grad(lambda x: density.log_density(fitted, x)[0])(np.array([[3.0, 0.0]]))
    assert slope[0, 0] < 0


def test_more_components_than_examples():
    with pytest.raises(UserError, match=r"config.density.components=9: more than the 5 examples"):
        density.fit(np.zeros((10, 3, 3, 1), np.float32), 16, 0.1)
