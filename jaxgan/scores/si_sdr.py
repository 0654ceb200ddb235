"""SI-SDR, the scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or
well done?", 2019, equation 5).
"""

import math

import numpy as np

from jaxgan.scores.score import Score, Unscorable

LIMIT = 100.0
"""Limit of the score's magnitude in dB, because identical signals have no finite ratio."""


def _measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Returns 10 log10(|a s|^2 / |a s - e|^2) with a = <e, s> / <s, s>, in dB.

    The reference s and the estimate e have their means removed first.
    """
    del sample_rate
    reference, estimate = _centred(reference), _centred(estimate)
    # Sums of products: the rounding of a BLAS dot product depends on the number of threads.
    target = np.sum(estimate * reference) / np.sum(reference**2) * reference
    target_energy, distortion_energy = np.sum(target**2), np.sum((target - estimate) ** 2)
    floor = 10.0 ** (-LIMIT / 10.0) * (target_energy + distortion_energy)
    return 10.0 * math.log10(max(target_energy, floor) / max(distortion_energy, floor))


def _centred(samples: np.ndarray) -> np.ndarray:
    centred = samples - samples.mean()
    # Subtracting the mean of a constant leaves rounding errors, not zeros.
    if np.abs(centred).max() <= 1e-12 * np.abs(samples).max():
        raise Unscorable("one signal is constant")
    return centred


si_sdr = Score("si_sdr", lowest=-20.0, highest=30.0, higher_is_better=True, measure=_measure)
"""SI-SDR in dB, within +-100, higher is better; the range map clips it to [-20, 30].

Invariant to the level and the offset of either signal.
"""
