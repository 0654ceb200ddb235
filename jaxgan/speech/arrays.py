"""Enhances arrays of samples at any rate, in memory."""

from typing import Any

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import LOUDEST_PEAK, SAMPLE_RATE
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.long_audio import enhance_waves, resample

TYPES = ("int16", "float32", "float64")
MOST_CHANNELS = 64
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000
FLUSH = np.zeros((16, 1), np.float32)
"""Zeros after the enhanced samples, so that resampling them back never gives too few."""


class ArrayEnhancer:
    """Enhances arrays with a trained network. `jaxgan.load` makes one.

    Args:
        enhancer: works at `SAMPLE_RATE`.
    """

    def __init__(self, enhancer: Enhancer) -> None:
        self.enhancer = enhancer

    def __call__(self, samples: Any, sample_rate: int) -> np.ndarray:
        """Returns the enhanced samples, of the same shape and type.

        Channels are enhanced independently. Frequencies above 8000 Hz are lost.

        Args:
            samples: an array, or what `numpy.asarray` makes one, [n] or [channels, n]: int16, or
                float32 or float64 with full scale 1.0.
            sample_rate: in Hz.

        Raises:
            UserError: the samples or the rate cannot be used; the message says why.
        """
        samples = as_array(samples)
        check(samples, sample_rate)
        if not samples.size:
            return samples.copy()
        whole = samples.dtype.kind == "i"
        channels = np.atleast_2d(audio.to_float(samples) if whole else samples.astype(np.float32))
        # Channels one after the other, so that each is a stream of its own.
        found = np.stack([self._enhance(channel[:, None], sample_rate) for channel in channels])
        if whole:
            return audio.to_int16(found).reshape(samples.shape)
        return found.astype(samples.dtype).reshape(samples.shape)

    def _enhance(self, wave: np.ndarray, rate: int) -> np.ndarray:
        """Returns a waveform, float32 [n, 1], enhanced: float32 [n]."""
        low = np.concatenate(list(resample([wave], rate, SAMPLE_RATE, 1)))
        waves = [(0, low[:, 0])] if len(low) else []
        blocks = [made[:, None] for _, made in enhance_waves(self.enhancer, waves)]
        blocks.append(FLUSH)
        return np.concatenate(list(resample(blocks, SAMPLE_RATE, rate, 1)))[: len(wave), 0]


def as_array(samples: Any) -> np.ndarray:
    """Returns samples as an array in the byte order of this machine.

    Raises:
        UserError: they are channels of different lengths.
    """
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise UserError("samples are no array: its channels differ in length") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check(samples: np.ndarray, sample_rate: Any) -> None:
    """Raises UserError if samples or their rate cannot be enhanced."""
    shape = " x ".join(map(str, samples.shape)) or "no dimension"
    if samples.dtype.name not in TYPES:
        raise UserError(f"samples are {samples.dtype}: give {', '.join(TYPES)}")
    if samples.ndim not in (1, 2):
        raise UserError(f"samples are an array of {shape}: give [n] or [channels, n]")
    if samples.ndim == 2 and samples.size and len(samples) > min(MOST_CHANNELS, samples.shape[1]):
        raise UserError(f"samples are {shape}, but channels come first: give samples.T")
    if not np.isfinite(samples).all():
        raise UserError("samples are NaN or infinite in places")
    peak = np.abs(samples).max(initial=0)
    if samples.dtype.kind == "f" and peak > LOUDEST_PEAK:
        raise UserError(
            f"float samples reach {peak:.0f}, where full scale is 1.0: divide them, or give int16"
        )
    try:
        usable = LOWEST_RATE <= sample_rate <= HIGHEST_RATE and int(sample_rate) == sample_rate
    except (TypeError, ValueError):  # a string, None, an array
        usable = False
    if not usable:
        raise UserError(f"sample_rate={sample_rate!r}: give a whole number of Hz, such as 16000")
