"""Log-spectral distance (Gray and Markel 1976), over the range that is heard.

As in Naylor and Gaubitch, "Speech Dereverberation" (2010), equation 2.30: the spectra of each side
are cut off 50 dB below its own greatest magnitude, for the ratio of two inaudible magnitudes says
nothing. Frames of 32 ms, half of which the next one shares.
"""

import numpy as np

from jaxgan.scores.score import Score, Unscorable

FRAME_SECONDS = 0.032
RANGE_DB = 50.0


def _levels(samples: np.ndarray, frame: int) -> np.ndarray:
    """dB [frames, bins]."""
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
"""dB, 0 and more: the root mean square over frequencies, the mean over frames."""
