"""Each property follows what it is about, on a voice whose faults are known."""

import numpy as np
import pytest

from jaxgan.scores.score import Unscorable
from jaxgan.scores.words.properties import measure

RATE = 16000


def noise(power, count=3 * RATE):
    return np.sqrt(power) * np.random.default_rng(0).normal(size=count)


def voice():
    """Three seconds of harmonics of 120 Hz, 2.5 syllables a second, in a quiet room."""
    time = np.arange(3 * RATE) / RATE
    harmonics = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 59))
    syllables = 10 ** (2.5 * np.clip(np.sin(2 * np.pi * 2.5 * time) - 0.8, -1, 0))
    return 0.1 * harmonics * syllables + noise(1e-8)


def test_the_level_is_that_of_the_syllables():
    clean = voice()
    loud = clean[int(0.08 * RATE) : int(0.12 * RATE)]
    assert measure(clean, RATE).level_db == pytest.approx(10 * np.log10(np.mean(loud**2)), abs=0.5)
    assert measure(clean / 10, RATE).level_db == pytest.approx(measure(clean, RATE).level_db - 20)


@pytest.mark.parametrize("name", ["pause_db", "modulation", "contrast_db"])
def test_more_noise_lowers(name):
    values = [getattr(measure(voice() + noise(p), RATE), name) for p in (0, 1e-6, 1e-4, 1e-2)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def test_the_pauses_are_as_far_down_as_the_noise_is():
    noisy = measure(voice() + noise(1e-5), RATE)
    assert noisy.level_db - noisy.pause_db == pytest.approx(-50, abs=1)


@pytest.mark.parametrize("limit", [1000, 3000, 6000])
def test_the_bandwidth_is_where_the_spectrum_ends(limit):
    spectrum = np.fft.rfft(voice())
    spectrum[np.fft.rfftfreq(3 * RATE, 1 / RATE) > limit] = 0
    assert measure(np.fft.irfft(spectrum), RATE).bandwidth_hz == pytest.approx(limit, abs=150)


def test_the_share_of_clipped_samples():
    clean = voice()
    limit = np.quantile(np.abs(clean), 0.9)
    assert measure(np.clip(clean, -limit, limit), RATE).clipped == pytest.approx(0.1, abs=0.01)
    assert measure(clean, RATE).clipped < 0.01


def test_isolated_tones_in_the_pauses_are_peaks():
    time = np.arange(3 * RATE) / RATE
    steady = measure(voice() + noise(1e-5), RATE)
    musical = measure(voice() + 0.01 * np.sin(2 * np.pi * 1234 * time) + noise(1e-9), RATE)
    # The power of a bin of white noise is exponentially distributed: 2.5 dB, and the window.
    assert steady.peaks_db == pytest.approx(2.5, abs=1)
    assert musical.peaks_db > steady.peaks_db + 10


def test_fast_modulation_is_rough():
    time = np.arange(3 * RATE) / RATE
    rough = voice() * (1 + 0.9 * np.sin(2 * np.pi * 40 * time))
    assert measure(rough, RATE).smoothness < measure(voice(), RATE).smoothness - 0.3


def test_sudden_silence_in_a_syllable_is_a_dropout():
    broken = voice()
    assert measure(broken, RATE).dropouts == 0
    for start in (0.08, 0.88, 1.68):
        broken[int(start * RATE) : int((start + 0.05) * RATE)] = 0
    assert measure(broken, RATE).dropouts == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [np.zeros(RATE), voice()[: RATE // 4], np.zeros(0)])
def test_without_speech_there_is_nothing_to_measure(bad):
    with pytest.raises(Unscorable):
        measure(bad, RATE)


def test_a_level_does_not_change_what_does_not_depend_on_it():
    loud, quiet = measure(voice(), RATE), measure(voice() / 7, RATE)
    for name in ("pause_db", "modulation", "smoothness", "bandwidth_hz", "clipped", "dropouts"):
        assert getattr(loud, name) == pytest.approx(getattr(quiet, name), rel=1e-3), name
