import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.frechet import (
    Moments,
    frechet_distance,
    frechet_floor,
    moments,
)

RANDOM = np.random.default_rng(0)


def with_moments(mean, covariance, count):
    """Samples whose mean and unbiased covariance are exactly those."""
    samples = RANDOM.normal(size=(count, len(mean)))
    samples -= samples.mean(axis=0)
    whiten = np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(samples, rowvar=False))))
    return samples @ whiten.T @ np.linalg.cholesky(covariance).T + mean


def distance(real, fake):
    return frechet_distance(moments(real, "real"), moments(fake, "fake"))


def test_diagonal_gaussians_have_a_closed_form():
    """Commuting covariances: |m1 - m2|^2 plus the squared difference of the deviations."""
    first = with_moments(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]), 50)
    second = with_moments(np.array([0.0, 2.0, 5.0]), np.diag([4.0, 4.0, 0.25]), 40)
    found = distance(first, second)
    assert found.value == pytest.approx(1 + 0 + 4 + 1 + 0 + 2.5**2, rel=1e-9)
    assert (found.real_count, found.fake_count) == (50, 40)


def test_one_feature_is_enough():
    first, second = with_moments(np.zeros(1), np.eye(1), 9), with_moments(np.ones(1), np.eye(1), 9)
    assert distance(first, second).value == pytest.approx(1)


def test_covariances_that_do_not_commute():
    """In two dimensions the trace of the root has a closed form of trace and determinant."""
    a, b = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    found = frechet_distance(Moments(np.zeros(2), a, 9), Moments(np.zeros(2), b, 9)).value
    assert found == pytest.approx(np.trace(a) + np.trace(b) - 2 * root, rel=1e-12)


def test_a_set_has_no_distance_to_itself():
    features = RANDOM.normal(size=(60, 20)) @ RANDOM.normal(size=(20, 20))
    assert distance(features, features).value == pytest.approx(0, abs=1e-9)


def test_singular_covariances_have_a_real_distance():
    features = RANDOM.normal(size=(60, 3)) @ RANDOM.normal(size=(3, 10))
    other = RANDOM.normal(size=(60, 3)) @ RANDOM.normal(size=(3, 10))
    found = distance(features, other).value
    assert np.isfinite(found)
    assert found > 0.1
    assert distance(features, features).value == pytest.approx(0, abs=1e-6)


def test_the_distance_does_not_depend_on_order_or_rotation():
    real, fake = RANDOM.normal(size=(2, 50, 6)) + np.array([[[0.0]], [[0.3]]])
    rotation = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]
    expected = distance(real, fake).value
    assert distance(fake, real).value == pytest.approx(expected, rel=1e-9)
    assert distance(real[::-1], fake).value == pytest.approx(expected, rel=1e-9)
    assert distance(real @ rotation, fake @ rotation).value == pytest.approx(expected, rel=1e-9)


def test_as_many_samples_as_features_are_refused():
    with pytest.raises(
        UserError, match=r"^real features: 8 samples are too few for the covariance"
    ):
        moments(RANDOM.normal(size=(8, 8)), "real features")
    moments(RANDOM.normal(size=(9, 8)), "real features")


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match=r"^generated features: 9 of 9 rows"):
        moments(np.full((9, 2), np.nan), "generated features")


def test_moments_of_two_networks_are_refused():
    first, second = (moments(RANDOM.normal(size=(9, d)), "features") for d in (2, 3))
    with pytest.raises(UserError, match=r"^generated features: rows of 3 numbers cannot"):
        frechet_distance(first, second)


def test_the_floor_is_the_distance_between_random_halves():
    features = RANDOM.normal(size=(401, 4))
    features[:200] += 5  # sorted data, such as by class
    found = frechet_floor(features, seed=1)
    assert (found.real_count, found.fake_count) == (201, 200)
    assert 0 < found.value < 0.5
    assert frechet_floor(features, seed=1) == found
    assert frechet_floor(features, seed=2) != found


def test_the_floor_of_too_few_is_refused():
    with pytest.raises(UserError, match=r"^a half of the real features: 4 samples are too few"):
        frechet_floor(RANDOM.normal(size=(8, 4)), seed=0)
