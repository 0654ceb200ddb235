"""STOI and ESTOI, short-time objective intelligibility, by the package `pystoi`.

Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
(2011); Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by
Modulated Noise Maskers" (2016).
"""

import warnings
from typing import Any

import numpy as np
import pystoi

from jaxgan.scores.score import Measure, Score, Unscorable

# The package measures at 10 kHz in frames of 256 samples, 128 apart, and correlates 30 of them.
_RATE = 10_000
_SHORTEST_SAMPLES = 256 + 29 * 128 + 1
_TOO_LITTLE_SPEECH = 1e-5


def _as_it_is(raw: Any) -> Any:
    """MetricGAN's map for STOI (Fu et al. 2019)."""
    return raw


def _measure(extended: bool) -> Measure:
    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        if len(reference) * _RATE < _SHORTEST_SAMPLES * sample_rate:
            raise Unscorable("shorter than 0.4 s")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
            value = _repeatable_stoi(reference, estimate, sample_rate, extended)
        # The package's own sign for fewer than 30 frames of speech once pauses are removed.
        if value == _TOO_LITTLE_SPEECH:
            raise Unscorable("less than 0.4 s of speech")
        return value

    return measure


def _repeatable_stoi(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, extended: bool
) -> float:
    """The package's score; ESTOI dithers with NumPy's global generator, so that is seeded here."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        return float(pystoi.stoi(reference, estimate, sample_rate, extended=extended))
    finally:
        np.random.set_state(before)  # noqa: NPY002


stoi = Score("stoi", 0.0, 1.0, higher_is_better=True, measure=_measure(False), own_map=_as_it_is)
"""0 (nothing understood) to 1; any sample rate. Slightly below 0 is possible and kept."""

estoi = Score("estoi", 0.0, 1.0, higher_is_better=True, measure=_measure(True), own_map=_as_it_is)
"""As STOI, for modulated noises too. Repeatable: the package's dither is seeded."""
