"""Synthesises the kinds of noise that are common in speech enhancement.

Unless its docstring says otherwise, a function returns float64 [n] at 16000 Hz with a mean power of
about 1, and depends only on its arguments and the state of the random generator.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from jaxgan.speech.data.audio import SAMPLE_RATE

WINDOW = 512
"""Samples in a frame of `speech_spectrum`."""
BABBLE_VOICES = 6
"""The maximum number of voices in babble."""


def unit(signal: np.ndarray) -> np.ndarray:
    """Returns a signal, float64 [n], scaled to a mean power of 1."""
    return signal / np.sqrt(np.mean(np.square(signal)))


def white(n: int, random: np.random.Generator) -> np.ndarray:
    """Returns white noise: equal power at all frequencies."""
    return random.standard_normal(n)


def pink(n: int, random: np.random.Generator) -> np.ndarray:
    """Returns pink noise: power that falls by 3 dB per octave above 20 Hz."""
    return _filtered(n, random, lambda frequencies: 1 / np.sqrt(np.maximum(frequencies, 20.0)))


def brown(n: int, random: np.random.Generator) -> np.ndarray:
    """Returns brown noise, like the rumble in a car: 6 dB less power per octave above 50 Hz."""
    return _filtered(n, random, lambda frequencies: 1 / np.maximum(frequencies, 50.0))


def speech_spectrum(waves: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the power spectrum of speech, summed over all frames.

    Args:
        waves: int16 or float [n] arrays at 16000 Hz, cut into Hann windows of 32 ms.

    Returns:
        float64 [257], from 0 to 8000 Hz.
    """
    total = np.zeros(WINDOW // 2 + 1)
    for wave in waves:
        frames = wave[: len(wave) // WINDOW * WINDOW].reshape(-1, WINDOW)
        total += np.square(np.abs(rfft(frames * np.hanning(WINDOW)))).sum(axis=0)
    return total


def speech_shaped(n: int, random: np.random.Generator, spectrum: np.ndarray) -> np.ndarray:
    """Returns stationary noise with a power spectrum from `speech_spectrum`, at any scale."""
    grid = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    return _filtered(n, random, lambda frequencies: np.sqrt(np.interp(frequencies, grid, spectrum)))


def modulated(n: int, random: np.random.Generator, spectrum: np.ndarray) -> np.ndarray:
    """Returns speech-shaped noise whose level varies by 6 to 20 dB, 2 to 8 times a second."""
    time = np.arange(n) / SAMPLE_RATE
    phase = 2 * np.pi * (random.uniform(2, 8) * time + random.uniform())
    depth = random.uniform(6, 20) / 2
    return unit(speech_shaped(n, random, spectrum) * 10 ** (depth * np.sin(phase) / 20))


def babble(n: int, random: np.random.Generator, waves: Sequence[np.ndarray]) -> np.ndarray:
    """Returns up to 6 of the voices at equal power, each repeated from a random offset."""
    total = np.zeros(n)
    for number in random.choice(len(waves), min(BABBLE_VOICES, len(waves)), replace=False):
        wave = np.roll(waves[number], -int(random.integers(len(waves[number]))))
        total += np.resize(unit(wave.astype(np.float64)), n)
    return unit(total)


def hum(n: int, random: np.random.Generator) -> np.ndarray:
    """Returns mains hum of about 50 or 60 Hz with its harmonics, and faint pink noise."""
    time = np.arange(n) / SAMPLE_RATE
    fundamental = random.choice([50.0, 60.0]) * random.uniform(0.995, 1.005)
    harmonics = np.arange(1, int(random.integers(8, 40)))
    sizes = random.uniform(0.2, 1.0, len(harmonics)) * harmonics ** -random.uniform(0.3, 1.2)
    phases = random.uniform(0, 2 * np.pi, len(harmonics))
    turn = np.exp(2j * np.pi * fundamental * time)
    tones = np.zeros(n, complex)
    for size in (sizes * np.exp(1j * phases))[::-1]:
        tones = (tones + size) * turn
    return unit(unit(tones.real) + 0.1 * pink(n, random))


def clicks(n: int, random: np.random.Generator) -> np.ndarray:
    """Returns 3 to 12 clicks a second, each a decaying resonance, and faint pink noise."""
    total = np.zeros(n)
    count = max(2, int(random.poisson(random.uniform(3, 12) * n / SAMPLE_RATE)))
    for start in random.integers(n, size=count):
        radius = np.exp(-1 / (random.uniform(0.002, 0.02) * SAMPLE_RATE))
        angle = 2 * np.pi * random.uniform(300, 6000) / SAMPLE_RATE
        tail = np.zeros(min(n - start, SAMPLE_RATE // 8))
        tail[0] = random.uniform(0.2, 1.0)
        ring = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], tail)
        total[start : start + len(tail)] += ring / np.abs(ring).max() * tail[0]
    return unit(unit(total) + 0.1 * pink(n, random))


WITHOUT_SPEECH = {"white": white, "pink": pink, "brown": brown, "hum": hum, "clicks": clicks}
WITH_SPECTRUM = {"shaped": speech_shaped, "modulated": modulated}


def make(
    kind: str,
    n: int,
    random: np.random.Generator,
    spectrum: np.ndarray,
    voices: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Returns noise of a kind.

    Args:
        kind: "babble", or a key of `WITHOUT_SPEECH` or `WITH_SPECTRUM`.
        n: the number of samples.
        random: draws the noise.
        spectrum: the spectrum of speech; see `speech_spectrum`.
        voices: the voices of the babble.
    """
    if kind == "babble":
        return babble(n, random, voices)
    if kind in WITH_SPECTRUM:
        return WITH_SPECTRUM[kind](n, random, spectrum)
    return WITHOUT_SPEECH[kind](n, random)


def _filtered(
    n: int, random: np.random.Generator, response: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Returns white noise filtered with a magnitude response, a function of frequencies in Hz."""
    size = next_fast_len(n, real=True)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    shaped = irfft(rfft(random.standard_normal(size)) * response(frequencies), size)
    return unit(shaped[:n])
