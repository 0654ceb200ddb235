import math

import numpy as np
import pesq
import pytest

from jaxgan.scores import get


@pytest.mark.parametrize(("mode", "rate"), [("wb", 16000), ("nb", 16000), ("nb", 8000)])
def test_equals_the_package(make_speech, mode, rate):
    clean = make_speech(2.0, rate)
    noisy = clean + np.random.default_rng(1).normal(0, 0.01, clean.shape)
    assert get(f"pesq_{mode}")(clean, noisy, rate) == pesq.pesq(rate, clean, noisy, mode)


def test_sample_format_and_level_have_no_effect(make_speech):
    clean = make_speech(2.0)
    noisy = clean + np.random.default_rng(1).normal(0, 0.01, clean.shape)
    score = get("pesq_wb")
    expected = score(clean, noisy, 16000)
    integers = [(side * 32768).round().astype(np.int16) for side in (clean, noisy)]
    assert score(*integers, 16000) == pytest.approx(expected, abs=2e-3)
    assert score(clean, 0.1 * noisy, 16000) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_identical_signals_have_the_highest_score(make_speech, mode):
    score, clean = get(f"pesq_{mode}"), make_speech(2.0)
    assert score(clean, clean, 16000) == pytest.approx(score.highest, abs=1e-3)


def test_too_short_and_too_faint_are_unscorable(make_speech):
    score, clean = get("pesq_wb"), make_speech(2.0)
    assert math.isnan(score(clean[:3999], clean[:3999], 16000))
    faint = np.zeros_like(clean)
    faint[0] = 1e-30
    assert math.isnan(score(faint, clean, 16000))
    assert math.isnan(score(clean, faint, 16000))


def test_a_wrong_sample_rate_is_an_error(make_speech):
    clean = make_speech(1.0)
    with pytest.raises(ValueError, match="pesq_wb takes 16000 Hz, not 8000"):
        get("pesq_wb")(clean, clean, 8000)
    with pytest.raises(ValueError, match="pesq_nb takes 8000 or 16000 Hz, not 44100"):
        get("pesq_nb")(clean, clean, 44100)
