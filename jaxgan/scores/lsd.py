"""Log-spectral distance (Gray and Markel 1976) over the audible dynamic range.

As in Naylor and Gaubitch, "Speech Dereverberation" (2010), equation 2.30: each signal's magnitudes
are floored 50 dB below its greatest one, because the ratio of two inaudible magnitudes is
meaningless. Frames last 32 ms and overlap by half.
"""

import numpy as np

from jaxgan.scores.score import Score, Unscorable

FRAME_SECONDS = 0.032
RANGE_DB = 50.0


def _levels(samples: np.ndarray, frame: int) -> np.ndarray:
    """Returns the floored magnitudes in dB [frames, bins]."""
    views = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    magnitude = np.abs(np.fft.rfft(views * np.hanning(frame)))
    floor = 10.0 ** (-RANGE_DB / 20.0) * magnitude.max()
    levels: np.ndarray = 20.0 * np.log10(np.maximum(magnitude, floor))
    return levels


def _measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    frame = round(FRAME_SECONDS * sample_rate)
    if len(reference) < frame:
        raise Unscorable("shorter than 32 ms")
    difference = _levels(reference, frame) - _levels(estimate, frame)
    return float(np.sqrt(np.mean(difference**2, axis=1)).mean())


lsd = Score("lsd", 0.0, RANGE_DB, higher_is_better=False, measure=_measure)
"""Log-spectral distance in dB: RMS over frequencies, mean over frames.

0 or more, lower is better; the range map clips it at 50.
"""
