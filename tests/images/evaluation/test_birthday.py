import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.birthday import (
    CALIBRATION,
    LEAST,
    birthday_test,
    collision_probability,
    collision_threshold,
    count_duplicates,
)
from jaxgan.images.evaluation.neighbours import closest_pairs

FEATURES = 16
REPEATS = 20


def draws_of_a_few_images(random, images, samples):
    """Features of a generator that makes so many images, each with a little noise."""
    centres = random.normal(size=(images, FEATURES))
    chosen = random.integers(images, size=(REPEATS, samples))
    return centres[chosen] + 1e-3 * random.normal(size=(REPEATS, samples, FEATURES))


@pytest.fixture(scope="module")
def threshold():
    held_out = np.random.default_rng(1).normal(size=(2000, FEATURES))
    return collision_threshold(held_out, samples=400)


@pytest.mark.parametrize("images", [100, 500, 2000])
def test_the_support_is_found_within_a_factor_of_2(images, threshold):
    random = np.random.default_rng(images)
    estimates = np.array(
        [
            birthday_test(draws_of_a_few_images(random, images, 200), threshold).support
            for _ in range(10)
        ]
    )
    close = (estimates > images / 2) & (estimates < 2 * images)
    assert close.sum() >= 9, estimates


def test_different_images_do_not_collide(threshold):
    """The negative control: a generator that never makes an image twice."""
    found = birthday_test(np.random.default_rng(2).normal(size=(REPEATS, 400, FEATURES)), threshold)
    assert np.isfinite(found.first_collisions).sum() <= 3  # 0.05 are expected in each repeat
    assert found.size == np.inf
    assert found.support == np.inf
    assert found.samples == 400


def test_the_size_is_where_half_of_the_repeats_collide():
    far = 100 * np.arange(6.0)[:, None]
    batches = np.stack([far] * 4)
    batches[0, 1] = batches[0, 0]
    batches[1, 3] = batches[1, 0]
    batches[2, 5] = batches[2, 2]
    found = birthday_test(batches, threshold=1.0)
    np.testing.assert_array_equal(found.first_collisions, [2, 4, 6, np.inf])
    assert found.size == 5
    assert found.support == pytest.approx(25 * 0.7213, rel=1e-3)


def test_the_threshold_lets_through_as_many_pairs_as_it_should():
    held_out = np.random.default_rng(3).normal(size=(100, 4))
    # 0.05 of the 45 pairs of 10 samples are as frequent as 5.5 of the 4950 pairs of 100 samples.
    threshold = collision_threshold(held_out, samples=10, false_collisions=0.05)
    distances, _ = closest_pairs(held_out, 6)
    assert threshold == distances[4]


def test_the_rate_of_false_collisions_is_the_one_that_was_asked_for():
    random = np.random.default_rng(4)
    threshold = collision_threshold(random.normal(size=(1500, 4)), 50, false_collisions=0.5)
    pairs = [
        np.sum(closest_pairs(random.normal(size=(50, 4)), 10)[0] < threshold) for _ in range(300)
    ]
    assert np.mean(pairs) == pytest.approx(0.5, abs=0.15)


def test_too_few_held_out_images_are_refused():
    with pytest.raises(
        UserError, match=r"^held-out features: 1000 images cannot calibrate the bir"
    ):
        collision_threshold(np.zeros((1000, 2)), samples=400)


def test_equal_held_out_images_leave_no_threshold():
    features = np.random.default_rng(5).normal(size=(200, 3))
    features[100:] = features[:100]
    with pytest.raises(UserError, match="pairs of images are equal, so the birthday test has no"):
        collision_threshold(features, samples=40)


def test_features_that_are_not_finite_are_refused():
    features = np.zeros((3, 5, 2))
    features[1, 4] = np.nan
    with pytest.raises(UserError, match=r"^generated features of repeat 2: 1 of 5 rows"):
        birthday_test(features, 1.0)
    with pytest.raises(UserError, match=r"^held-out features: 9 of 9 rows"):
        collision_threshold(np.full((9, 2), np.nan), 2)


@pytest.mark.parametrize(("mass", "samples"), [(0.5, 20), (0.8, 15)])
def test_the_printed_bound_of_theorem_1_is_false_and_the_approximation_is_not(mass, samples):
    """100 images have a part of the mass, and everything else is different every time."""
    images, repeats = 100, 20_000
    random = np.random.default_rng(6)
    drawn = random.integers(images, size=(repeats, samples))
    unique = np.arange(images, images + samples)
    drawn = np.sort(np.where(random.random(drawn.shape) < mass, drawn, unique), axis=1)
    found = np.mean((drawn[:, 1:] == drawn[:, :-1]).any(axis=1))
    printed_bound = 1 - np.exp(-(samples**2) * mass / (2 * images))
    assert found < printed_bound - 0.08
    assert found == pytest.approx(collision_probability(samples, images, mass), abs=0.02)


def test_the_collision_probability_at_the_estimated_support_is_a_half():
    assert collision_probability(400, 400**2 / (2 * np.log(2))) == pytest.approx(0.5, abs=2e-3)
    assert collision_probability(1, 100) == 0


def test_a_generator_of_few_images_is_told_from_one_of_many():
    random = np.random.default_rng(3)
    held_out = random.normal(size=(1000, FEATURES))
    few = draws_of_a_few_images(random, 50, 100).reshape(-1, FEATURES)
    found = count_duplicates(held_out, few, trained_on=20_000)
    assert found["birthday_samples"] == 100
    assert found["birthday_collisions"] == 1
    assert 25 < found["birthday_support"] < 100
    assert found["birthday_of_copies"] == pytest.approx(100 * 99 / 40_000, rel=0.15)
    many = random.normal(size=(2000, FEATURES))
    found = count_duplicates(held_out, many, trained_on=20_000)
    assert found["birthday_collisions"] <= 0.2
    assert found["birthday_support"] == np.inf


def test_too_few_samples_or_held_out_images_tell_nothing():
    random = np.random.default_rng(4)
    for held_out, samples in [(1000, 20 * LEAST - 1), (80, 2000)]:
        features = (random.normal(size=(count, FEATURES)) for count in (held_out, samples))
        assert count_duplicates(*features, trained_on=100) == {}
    features = random.normal(size=(95, FEATURES)), random.normal(size=(2000, FEATURES))
    assert count_duplicates(*features, trained_on=100)["birthday_samples"] == 21
    assert CALIBRATION >= 95
