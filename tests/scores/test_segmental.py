"""Tests the frame-based scores on the host against plain loops, and pairs without a score."""

import math

import numpy as np
import pytest
from plain_segmental import plain_fwsegsnr, plain_llr, plain_ssnr, plain_wss

from jaxgan.scores import get

PLAIN = {"ssnr": plain_ssnr, "llr": plain_llr, "wss": plain_wss, "fwsegsnr": plain_fwsegsnr}
PERFECT = {"ssnr": 35.0, "llr": 0.0, "wss": 0.0, "fwsegsnr": 35.0}


@pytest.fixture
def pair(make_speech):
    def make(sample_rate, level=0.03):
        clean = make_speech(1.1, sample_rate)
        random = np.random.default_rng(2)
        clean = clean + 1e-4 * random.standard_normal(len(clean))
        return clean, clean + level * random.standard_normal(len(clean))

    return make


@pytest.mark.parametrize("sample_rate", [16000, 8000])
@pytest.mark.parametrize("name", PLAIN)
def test_equals_a_plain_loop(pair, name, sample_rate):
    clean, noisy = pair(sample_rate)
    expected = PLAIN[name](clean, noisy, sample_rate)
    assert get(name)(clean, noisy, sample_rate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_a_perfect_estimate_has_the_best_score(pair, name):
    clean, _ = pair(16000)
    assert get(name)(clean, clean, 16000) == pytest.approx(PERFECT[name], abs=1e-9)


@pytest.mark.parametrize("name", PLAIN)
def test_more_noise_is_worse(pair, name):
    score = get(name)
    clean, little = pair(16000, 0.01)
    _, much = pair(16000, 0.1)
    gain = score(clean, little, 16000) - score(clean, much, 16000)
    assert (gain > 0) == score.higher_is_better


@pytest.mark.parametrize("name", PLAIN)
def test_pauses_of_zeros_and_short_clips(pair, name):
    clean, noisy = pair(16000)
    gap = np.where((np.arange(len(clean)) // 1600) % 2 == 0, clean, 0.0)
    assert math.isfinite(get(name)(gap, noisy, 16000))
    assert math.isfinite(get(name)(gap, gap, 16000))
    assert math.isfinite(get(name)(clean[:600], noisy[:600], 16000))
    assert math.isnan(get(name)(clean[:599], noisy[:599], 16000))


def test_segmental_snr_of_a_known_ratio():
    tone = np.sin(2 * np.pi * 400 * np.arange(16000) / 16000)
    assert get("ssnr")(tone, 0.9 * tone, 16000) == pytest.approx(20.0, abs=1e-9)
    assert get("ssnr")(tone, -9.0 * tone, 16000) == -10.0


def test_llr_and_fwsegsnr_do_not_depend_on_the_level(pair):
    clean, noisy = pair(16000)
    for name in ("llr", "fwsegsnr"):
        expected = get(name)(clean, noisy, 16000)
        assert get(name)(clean, 0.1 * noisy, 16000) == pytest.approx(expected, abs=1e-6)
