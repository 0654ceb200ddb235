import numpy as np
import pytest
from corpora import tone
from scipy.signal import welch

from jaxgan.speech.data import noises

N = 16000 * 8


@pytest.fixture
def random():
    return np.random.default_rng(0)


def band(signal, low, high):
    """Returns the mean power density between two frequencies in dB."""
    frequencies, density = welch(signal, 16000, nperseg=4096)
    return 10 * np.log10(density[(frequencies >= low) & (frequencies < high)].mean())


@pytest.mark.parametrize(
    ("noise", "slope"), [(noises.white, 0.0), (noises.pink, -3.0103), (noises.brown, -6.0206)]
)
def test_the_slope_of_coloured_noise_in_decibels_per_octave(random, noise, slope):
    signal = noise(N, random)
    densities = [band(signal, low, 2 * low) for low in (250, 500, 1000, 2000)]
    np.testing.assert_allclose(np.diff(densities), slope, atol=0.35)


def test_every_noise_has_unit_power_and_depends_only_on_its_random_generator():
    voices = [np.random.default_rng(n).integers(-900, 900, 20000, np.int16) for n in range(8)]
    spectrum = noises.speech_spectrum(voices)
    makers = [
        noises.white,
        noises.pink,
        noises.brown,
        noises.hum,
        noises.clicks,
        lambda n, random: noises.speech_shaped(n, random, spectrum),
        lambda n, random: noises.modulated(n, random, spectrum),
        lambda n, random: noises.babble(n, random, voices),
    ]
    for make in makers:
        for n in (16001, 40000):
            signal = make(n, np.random.default_rng(5))
            assert signal.shape == (n,)
            assert np.mean(np.square(signal)) == pytest.approx(1, abs=0.05)
            np.testing.assert_array_equal(signal, make(n, np.random.default_rng(5)))
            assert not np.array_equal(signal, make(n, np.random.default_rng(6)))


def test_speech_shaped_noise_has_the_spectrum_of_its_speech(random):
    speech = [(3000 * noises.brown(N, random)).astype(np.int16)]
    shaped = noises.speech_shaped(N, random, noises.speech_spectrum(speech))
    for low in (250, 500, 1000, 2000, 4000):
        offset = 10 * np.log10(3000**2)
        assert band(shaped, low, 2 * low) == pytest.approx(
            band(speech[0], low, 2 * low) - offset, abs=1.0
        )


def test_hum_consists_of_harmonics_of_the_mains_frequency(random):
    signal = noises.hum(N, random)
    density = np.abs(np.fft.rfft(signal * np.hanning(N))) ** 2
    peak = np.argmax(density) * 16000 / N
    assert min(abs(peak / base - round(peak / base)) for base in (50, 60)) < 0.1
    assert density.max() > 1e4 * np.median(density)


def test_the_level_of_modulated_noise_varies_and_that_of_stationary_noise_does_not(random):
    spectrum = np.ones(257)

    def swing(signal):
        return np.std(10 * np.log10(np.square(signal).reshape(-1, 400).mean(axis=1)))

    assert swing(noises.modulated(N, random, spectrum)) > 2
    assert swing(noises.speech_shaped(N, random, spectrum)) < 1


def test_babble_is_the_sum_of_other_voices(random):
    voices = [(9000 * tone(1.0, hertz=hertz)).astype(np.int16) for hertz in (300, 700, 1500)]
    signal = noises.babble(N, random, voices)
    levels = [band(signal, hertz - 20, hertz + 20) for hertz in (300, 700, 1500)]
    np.testing.assert_allclose(levels, levels[0], atol=1.0)


def test_clicks_are_peaky(random):
    signal = noises.clicks(N, random)
    assert np.abs(signal).max() > 8
