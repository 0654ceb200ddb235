import math

import numpy as np
import pytest

from jaxgan.images.data.domains import Domains
from jaxgan.images.evaluation.kernel import squared_discrepancy
from jaxgan.images.evaluation.translation import (
    TranslationMetrics,
    comparison_grid,
    of_pairs,
    of_sets,
)

RANDOM = np.random.default_rng(0)
REAL = RANDOM.integers(40, 216, (4, 16, 16, 3), np.uint8)


def plain_ssim(one, other):
    """Wang et al. 2004, equation 13, with a window of 11 x 11 pixels, by plain loops."""
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for channel in range(one.shape[-1]):
        x, y = one[..., channel].astype(float), other[..., channel].astype(float)
        for i in range(5, x.shape[0] - 5):
            for j in range(5, x.shape[1] - 5):
                a, b = (each[i - 5 : i + 6, j - 5 : j + 6] for each in (x, y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (
                    (window * a * a).sum() - mean_a**2,
                    (window * b * b).sum() - mean_b**2,
                )
                both = (window * a * b).sum() - mean_a * mean_b
                found.append(
                    (2 * mean_a * mean_b + c1)
                    * (2 * both + c2)
                    / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
                )
    return np.mean(found)


def test_metrics_of_pairs_by_hand():
    made = (REAL.astype(int) + RANDOM.integers(-40, 41, REAL.shape)).astype(np.uint8)
    found = of_pairs(made, REAL)
    error = made.astype(float) - REAL
    assert found["l1"] == pytest.approx(np.abs(error).mean() / 255)
    ratios = [10 * math.log10(255**2 / np.mean(each**2)) for each in error]
    assert found["psnr"] == pytest.approx(np.mean(ratios))
    expected = np.mean([plain_ssim(*pair) for pair in zip(made, REAL, strict=True)])
    assert found["ssim"] == pytest.approx(expected, abs=1e-6)


def test_equal_and_small_images():
    found = of_pairs(REAL, REAL)
    assert (found["l1"], found["ssim"]) == (0, pytest.approx(1))
    assert found["psnr"] == pytest.approx(10 * math.log10(12 * 255**2))
    assert math.isnan(of_pairs(REAL[:, :10], REAL[:, :10])["ssim"])


def test_metrics_of_sets_by_hand():
    halved = ((REAL.astype(int) - 128) / 2 + 128).astype(np.uint8)
    found = of_sets(halved, REAL)
    assert found["sharpness"] == pytest.approx(1 / 4, rel=0.02)
    rows = [each.reshape(4, -1) / 127.5 - 1 for each in (halved, REAL)]
    assert found["kid_pixels"] == pytest.approx(squared_discrepancy(*rows))
    assert of_sets(REAL, REAL)["sharpness"] == 1
    assert math.isnan(of_sets(REAL, np.zeros_like(REAL))["sharpness"])
    assert math.isnan(of_sets(REAL[:1], REAL)["kid_pixels"])


def test_only_a_system_of_pairs_is_chosen_by_pairs():
    valid = Domains(REAL, 255 - REAL, True)
    outputs = {"a_to_b": 255 - REAL, "b_to_a": REAL // 2}
    by_pairs = TranslationMetrics(valid, 3, ("a_to_b", "b_to_a"), True)
    by_sets = TranslationMetrics(valid, 3, ("a_to_b", "b_to_a"), False)
    assert {name: len(images) for name, images in by_pairs.sources.items()} == dict.fromkeys(
        ("a_to_b", "b_to_a"), 3
    )
    outputs = {name: images[:3] for name, images in outputs.items()}
    (found, best), (same, other) = by_pairs(outputs), by_sets(outputs)
    assert found == same
    assert found["eval/l1_a_to_b"] == 0
    assert best == pytest.approx(-found["eval/l1_b_to_a"] / 2)
    distances = [found[f"eval/kid_pixels_{name}"] for name in ("a_to_b", "b_to_a")]
    assert other == pytest.approx(-np.mean(distances))
    apart = TranslationMetrics(Domains(REAL, REAL, False), 3, ("a_to_b",), False)
    assert not any("l1" in name for name in apart({"a_to_b": REAL[:3]})[0])
    assert len(apart.beside({"a_to_b": REAL[:3]}, 2)["a_to_b"]) == 2


def test_images_of_one_number_are_side_by_side():
    columns = [np.full((2, 3, 3, 1), shade, np.uint8) for shade in (1, 2, 3)]
    columns[0][1] = 9
    grid = comparison_grid(*columns)
    assert grid.shape == (3 * 2 + 2, 3 * 3 + 2 * 2, 3)
    np.testing.assert_array_equal(grid[0, [0, 5, 10], 0], [1, 2, 3])
    np.testing.assert_array_equal(grid[5, [0, 5, 10], 0], [9, 2, 3])


def test_features_of_partners_are_compared_if_a_classifier_is_given():
    made = (REAL.astype(int) + RANDOM.integers(-40, 41, REAL.shape)).astype(np.uint8)

    def features(values):
        return values[:, :2, 0, 0].astype(np.float32)

    paired = Domains(REAL, REAL, True)
    found, _ = TranslationMetrics(paired, 4, ["a_to_b"], True, features)({"a_to_b": made})
    apart = made[:, :2, 0, 0].astype(float) - REAL[:, :2, 0, 0]
    expected = np.hypot(*apart.T).mean()
    assert found["eval/feature_distance_a_to_b"] == pytest.approx(expected)
    without, _ = TranslationMetrics(paired, 4, ["a_to_b"], True)({"a_to_b": made})
    assert "eval/feature_distance_a_to_b" not in without
