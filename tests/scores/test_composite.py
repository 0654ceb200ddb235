"""Tests the composite opinions against the published regressions."""

import numpy as np
import pesq
import pytest
from plain_segmental import plain_llr, plain_ssnr, plain_wss

from jaxgan.scores import get


@pytest.fixture
def noisy_pair(make_speech):
    clean = make_speech(2.0)
    random = np.random.default_rng(0)
    clean = clean + 1e-4 * random.standard_normal(len(clean))
    return clean, clean + 0.01 * random.standard_normal(len(clean))


def test_opinions_equal_the_published_regressions(noisy_pair):
    quality = pesq.pesq(16000, *noisy_pair, "wb")
    ratio, slope, snr = (plain(*noisy_pair, 16000) for plain in (plain_llr, plain_wss, plain_ssnr))
    expected = {
        "csig": 3.093 - 1.029 * ratio + 0.603 * quality - 0.009 * slope,
        "cbak": 1.634 + 0.478 * quality - 0.007 * slope + 0.063 * snr,
        "covl": 1.594 + 0.805 * quality - 0.512 * ratio - 0.007 * slope,
    }
    for name, value in expected.items():
        found = get(name)(*noisy_pair, 16000)
        assert found == pytest.approx(min(max(value, 1), 5), abs=1e-5)
        assert get(name).normalise(found) == pytest.approx((found - 1) / 4)


def test_opinions_are_limited_to_1_and_5(noisy_pair):
    clean, _ = noisy_pair
    noise = np.random.default_rng(1).standard_normal(len(clean))
    for name in ("csig", "cbak", "covl"):
        assert get(name)(clean, clean, 16000) == 5.0 or name == "cbak"
        assert get(name)(clean, noise, 16000) >= 1.0
    assert get("csig")(clean, noise, 16000) == 1.0


def test_pairs_without_pesq_have_no_opinion(noisy_pair):
    clean, noisy = noisy_pair
    assert all(np.isnan(get(name)(clean[:3000], noisy[:3000], 16000)) for name in ("csig", "covl"))


def test_shared_parts_are_computed_once(noisy_pair, monkeypatch):
    calls = []
    package = pesq.pesq

    def record(*arguments):
        calls.append(arguments)
        return package(*arguments)

    monkeypatch.setattr(pesq, "pesq", record)
    clean, noisy = noisy_pair
    for name in ("pesq_wb", "csig", "cbak", "covl", "pesq_wb"):
        get(name)(clean, 0.9 * noisy, 16000)
    assert len(calls) == 1
