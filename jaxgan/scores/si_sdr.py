"""SI-SDR, the scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or
well done?", 2019, equation 5).
"""

import math

import numpy as np

from jaxgan.scores.score import Score, Unscorable

LIMIT = 100.0
"""Scores stay within plus and minus this (dB): identical signals have no finite ratio."""


def _measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """10 log10(|a s|^2 / |a s - e|^2) in dB, a = <e, s> / <s, s>, after both means are removed."""
    del sample_rate
    reference, estimate = _centred(reference), _centred(estimate)
    # Sums of products, not dot products: those round differently with the number of threads.
    target = np.sum(estimate * reference) / np.sum(reference**2) * reference
    target_energy, distortion_energy = np.sum(target**2), np.sum((target - estimate) ** 2)
    floor = 10.0 ** (-LIMIT / 10.0) * (target_energy + distortion_energy)
    return 10.0 * math.log10(max(target_energy, floor) / max(distortion_energy, floor))


def _centred(samples: np.ndarray) -> np.ndarray:
    centred = samples - samples.mean()
    # A constant leaves the rounding of its mean behind, not zeros.
    if np.abs(centred).max() <= 1e-12 * np.abs(samples).max():
        raise Unscorable("one side is constant")
    return centred


si_sdr = Score("si_sdr", lowest=-20.0, highest=30.0, higher_is_better=True, measure=_measure)
"""In dB, within +-100; the range map clips to [-20, 30]. Levels and offsets change nothing."""
