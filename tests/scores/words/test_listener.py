"""The words follow the quality, and only the verdict carries sentiment."""

import numpy as np
import pytest

from jaxgan.scores.words import listener
from jaxgan.scores.words.lexicon import rate
from tests.scores.words.test_properties import RATE, noise, voice


def test_verdicts_rise_from_the_worst_to_the_best():
    ratings = [rate(f"The speech sounds {verdict}.") for verdict in listener.VERDICTS]
    assert ratings == sorted(ratings)
    assert len(set(ratings)) == len(ratings)
    assert ratings[0] < 1.5
    assert ratings[-1] > 4.5


def test_remarks_do_not_change_the_rating():
    for fault in listener.FAULTS.values():
        for remark in filter(None, fault.remarks):
            assert rate(remark) == 3.0, remark


def test_noise_is_heard_and_lowers_the_rating():
    texts = [listener.describe(voice() + noise(p), RATE) for p in (1e-8, 1e-4, 1e-2)]
    assert "Noise covers" in texts[-1]
    assert "oise" not in texts[0]
    ratings = [rate(text) for text in texts]
    assert ratings == sorted(ratings, reverse=True)
    assert len(set(ratings)) == 3


def test_each_fault_is_named():
    spectrum = np.fft.rfft(voice())
    spectrum[np.fft.rfftfreq(3 * RATE, 1 / RATE) > 1000] = 0
    limit = np.quantile(np.abs(voice()), 0.7)
    assert "voice lacks" in listener.describe(np.fft.irfft(spectrum), RATE)
    assert "crackles" in listener.describe(np.clip(voice(), -limit, limit), RATE)
    assert "audible" in listener.describe(voice() / 300, RATE)


def test_the_quality_is_the_product_of_what_the_faults_leave():
    found = dict.fromkeys(listener.FAULTS, 0.0)
    assert listener.quality(found) == 1.0
    found |= {"modulation": 1.0, "peaks_db": 0.5}
    weights = {name: fault.weight for name, fault in listener.FAULTS.items()}
    expected = (1 - weights["modulation"]) * (1 - 0.5 * weights["peaks_db"])
    assert listener.quality(found) == pytest.approx(expected)
