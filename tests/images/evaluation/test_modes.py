import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.modes import mode_coverage

ANGLES = 2 * np.pi * np.arange(8) / 8
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
SD = 0.01


def test_the_data_cover_every_mode():
    random = np.random.default_rng(0)
    samples = RING[random.integers(8, size=2500)] + SD * random.normal(size=(2500, 2))
    found = mode_coverage(samples, RING, SD, loose_distance=0.35)
    assert found.modes == found.loose_modes == 8
    # A Gaussian in two dimensions is within 3 sd with probability 1 - exp(-9 / 2).
    assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.006)
    assert found.reverse_kl < 0.01
    assert mode_coverage(samples[::-1], RING, SD, 0.35) == found


def test_samples_count_by_their_distance():
    near, loose, far = [1 - 2.9 * SD, 0], [0, 0.7], [-0.4, 0]
    samples = np.array([near] * 500 + [loose] * 484 + [far] * 16)
    found = mode_coverage(samples, RING, SD, loose_distance=0.35)
    assert found.modes == 1
    assert found.high_quality == 0.5
    assert found.loose_modes == 2
    assert found.reverse_kl == pytest.approx(
        sum(p * np.log(8 * p) for p in (0.5, 0.484, 0.016)), rel=1e-9
    )
    just_outside = mode_coverage(np.array([[1 - 3.1 * SD, 0]]), RING, SD, 0.35)
    assert (just_outside.modes, just_outside.high_quality) == (0, 0)


@pytest.mark.parametrize(("count", "expected"), [(20, 1), (19, 0)])
def test_a_loose_mode_needs_20_of_2500_samples(count, expected):
    samples = np.concatenate([np.tile(RING[0], (count, 1)), np.full((2500 - count, 2), 50.0)])
    assert mode_coverage(samples, RING, SD, 0.35).loose_modes == expected


def test_wrong_samples_are_refused():
    with pytest.raises(UserError, match=r"^samples: 1 of 2 rows of features are not finite"):
        mode_coverage(np.array([[np.nan, 0], [0, 0]]), RING, SD, 0.35)
    with pytest.raises(
        UserError, match=r"^samples: rows of 3 numbers cannot be compared with rows"
    ):
        mode_coverage(np.zeros((2, 3)), RING, SD, 0.35)
