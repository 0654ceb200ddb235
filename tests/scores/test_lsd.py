"""Tests the log-spectral distance against closed forms and a plain loop."""

import math

import numpy as np
import pytest

from jaxgan.scores import get

NOISE = 0.1 * np.random.default_rng(0).standard_normal(8000)


def test_a_level_difference_is_its_distance_in_db():
    assert get("lsd")(NOISE, NOISE, 16000) == 0.0
    assert get("lsd")(NOISE, 0.5 * NOISE, 16000) == pytest.approx(20 * math.log10(2), abs=1e-9)


def test_equals_a_plain_loop():
    estimate = NOISE + 0.05 * np.sin(np.arange(8000))
    window = np.hanning(512)
    sides = []
    for side in (NOISE, estimate):
        frames = [side[i : i + 512] * window for i in range(0, 8000 - 511, 256)]
        magnitudes = [[abs(value) for value in np.fft.rfft(frame)] for frame in frames]
        top = 20 * math.log10(max(map(max, magnitudes)))
        sides.append(
            [[max(20 * math.log10(value), top - 50) for value in row] for row in magnitudes]
        )
    distances = [
        math.sqrt(sum((a - b) ** 2 for a, b in zip(*rows, strict=True)) / len(rows[0]))
        for rows in zip(*sides, strict=True)
    ]
    expected = sum(distances) / len(distances)
    assert get("lsd")(NOISE, estimate, 16000) == pytest.approx(expected, abs=1e-9)


def test_differences_50_db_below_the_peak_have_no_effect():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)
    assert get("lsd")(tone, tone + 1e-7 * NOISE, 16000) < 1e-4


def test_less_than_a_frame_has_no_score():
    assert math.isnan(get("lsd")(NOISE[:511], NOISE[:511], 16000))
