"""STOI and ESTOI, short-time objective intelligibility, from the package `pystoi`.

Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
(2011); Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by
Modulated Noise Maskers" (2016).
"""

import warnings
from typing import Any

import numpy as np
import pystoi

from jaxgan.scores.score import Measure, Score, Unscorable

# The package works at 10 kHz and correlates segments of 30 frames (256 samples, hop 128).
_RATE = 10_000
_SHORTEST_SAMPLES = 256 + 29 * 128 + 1
_TOO_LITTLE_SPEECH = 1e-5


def _identity(raw: Any) -> Any:
    """MetricGAN's map for STOI (Fu et al. 2019): STOI itself."""
    return raw


def _measure(extended: bool) -> Measure:
    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        if len(reference) * _RATE < _SHORTEST_SAMPLES * sample_rate:
            raise Unscorable("shorter than 0.4 s")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
            value = _repeatable_stoi(reference, estimate, sample_rate, extended)
        # The package returns this if fewer than 30 frames remain once silent ones are removed.
        if value == _TOO_LITTLE_SPEECH:
            raise Unscorable("less than 0.4 s of speech")
        return value

    return measure


def _repeatable_stoi(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, extended: bool
) -> float:
    """Returns the package's score with repeatable dither.

    ESTOI draws its dither from NumPy's global generator, which is seeded for the call and restored.
    """
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        return float(pystoi.stoi(reference, estimate, sample_rate, extended=extended))
    finally:
        np.random.set_state(before)  # noqa: NPY002


stoi = Score("stoi", 0.0, 1.0, higher_is_better=True, measure=_measure(False), own_map=_identity)
"""STOI, 0 to 1, higher is better; any sample rate. Values slightly below 0 occur and are kept."""

estoi = Score("estoi", 0.0, 1.0, higher_is_better=True, measure=_measure(True), own_map=_identity)
"""Extended STOI, also valid for modulated noise; 0 to 1, higher is better; any sample rate."""
