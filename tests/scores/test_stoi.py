import math

import numpy as np
import pystoi
import pytest

from jaxgan.scores import get


@pytest.fixture
def pair(make_speech):
    clean = make_speech(2.0)
    return clean, clean + np.random.default_rng(1).normal(0, 0.05, clean.shape)


def test_equals_the_package(pair):
    assert get("stoi")(*pair, 16000) == pystoi.stoi(*pair, 16000)


def test_extended_equals_the_package_up_to_dither(pair):
    expected = pystoi.stoi(*pair, 16000, extended=True)
    assert get("estoi")(*pair, 16000) == pytest.approx(expected, abs=1e-6)


def test_extended_is_repeatable_and_restores_the_global_generator(pair):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    # With long digital silence in the estimate the package's dither determines the value.
    estimate = np.where(np.arange(len(pair[0])) % 8000 < 4000, pair[1], 0.0)
    scores = {get("estoi")(pair[0], estimate, 16000) for _ in range(3)}
    assert len(scores) == 1
    assert np.random.random() == expected  # noqa: NPY002


def test_identical_signals_have_the_highest_score(make_speech):
    clean = make_speech(2.0)
    assert get("stoi")(clean, clean, 16000) == pytest.approx(1.0)
    assert get("estoi")(clean, clean, 16000) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["stoi", "estoi"])
@pytest.mark.parametrize("samples", [1, 300, 4000, 6300])
def test_too_short_is_unscorable(make_speech, name, samples):
    clean = make_speech(1.0)[2000 : 2000 + samples]
    assert math.isnan(get(name)(clean, clean + 0.01, 16000))


@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_too_little_speech_is_unscorable(make_speech, name):
    clean = make_speech(2.0)
    clean[3000:] *= 1e-6
    assert math.isnan(get(name)(clean, clean, 16000))
