"""Measures what a listener would remark on in a recording of speech, without a reference."""

import dataclasses
import itertools

import numpy as np

from jaxgan.scores.score import Unscorable

FRAME_SECONDS = 0.032
HOP_SECONDS = 0.008
SHORTEST_SECONDS = 0.5
SPEECH_DB = 20.0
"""Frames at most this far below the level of the speech count as speech."""
BANDWIDTH_DB = 50.0
"""The spectrum of the speech ends where it is this far below its peak."""
SILENCE_DB = -120.0
BANDS = 18
SLOW_HZ, FAST_HZ, FASTEST_HZ = 1.0, 16.0, 60.0
"""Syllables modulate the bands of speech at 1 to 16 Hz; faster modulations are roughness."""


@dataclasses.dataclass(frozen=True)
class Properties:
    """What `measure` finds in a recording.

    Attributes:
        level_db: level of the speech, the 95th percentile over frames, in dB of full scale.
        pause_db: how far the quietest tenth of the frames is below the speech, in dB. Noise in the
            pauses makes it small.
        modulation: log10 of the power of the modulations at 1 to 16 Hz in each frequency band,
            relative to the band's mean, averaged over the bands. Noise between and under the
            syllables makes it small.
        smoothness: log10 of the ratio of the modulations at 1 to 16 Hz to those at 16 to 60 Hz,
            averaged over the bands.
        contrast_db: how far the mean power of a frame of speech is above its geometric mean over
            frequencies, the median over frames, in dB. Noise fills the gaps between harmonics and
            makes it small.
        bandwidth_hz: the highest frequency at which the speech is at most 50 dB below the peak of
            its spectrum.
        clipped: share of the samples, in 0..1, within 1 % of the highest absolute value.
        peaks_db: how far the mean power of a quiet frame is above its geometric mean, in dB, within
            the bandwidth. Musical noise, which is made of isolated peaks, makes it large.
        dropouts: how many times a second the level falls by more than 30 dB within 16 ms of speech.
        decay_db: the median rate, in dB a second, at which the level falls at the end of syllables.
            Reverberation makes it small.
    """

    level_db: float
    pause_db: float
    modulation: float
    smoothness: float
    contrast_db: float
    bandwidth_hz: float
    clipped: float
    peaks_db: float
    dropouts: float
    decay_db: float


def measure(samples: np.ndarray, sample_rate: int) -> Properties:
    """Returns the properties of a recording.

    Args:
        samples: float64 [n] with full scale 1.
        sample_rate: the sample rate in Hz.

    Raises:
        Unscorable: the recording is silent or shorter than half a second.
    """
    if len(samples) < SHORTEST_SECONDS * sample_rate:
        raise Unscorable("shorter than half a second")
    if not samples.any():
        raise Unscorable("silent")
    frame, hop = round(FRAME_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(frames * np.hanning(frame))) ** 2
    level = decibels((frames**2).mean(axis=1))
    speech_level = float(np.percentile(level, 95))
    speech = level > speech_level - SPEECH_DB
    quiet = level <= np.percentile(level, 20)
    end = _last_bin(power[speech].mean(axis=0))
    slow, fast = _modulations(power)
    return Properties(
        level_db=speech_level,
        pause_db=speech_level - float(np.percentile(level, 10)),
        modulation=float(np.log10(slow / len(power) ** 2 + 1e-9).mean()),
        smoothness=float(np.log10(slow / np.maximum(fast, 1e-9) + 1e-9).mean()),
        contrast_db=float(np.median(_contrast(power[speech]))),
        bandwidth_hz=end * sample_rate / frame,
        clipped=float(np.mean(np.abs(samples) > 0.99 * np.abs(samples).max())),
        peaks_db=float(np.mean(_contrast(power[quiet, : end + 1]))),
        dropouts=_dropouts(level, speech_level) / (len(samples) / sample_rate),
        decay_db=_decay(level, speech_level),
    )


def decibels(power: np.ndarray) -> np.ndarray:
    """Returns 10 log10 of a power, at least `SILENCE_DB`."""
    return 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))


def _modulations(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the power of the slow and the fast modulations of each band, float64 [bands]."""
    bins = power.shape[1]
    edges = np.unique(np.round(np.geomspace(3, bins - 1, BANDS + 1)).astype(int))
    bands = np.stack(
        [power[:, low:high].mean(axis=1) for low, high in itertools.pairwise(edges)],
        axis=1,
    )
    envelope = np.sqrt(bands)
    envelope = envelope / np.maximum(envelope.mean(axis=0), 1e-9)
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean(axis=0), axis=0)) ** 2
    rate = np.fft.rfftfreq(len(envelope), HOP_SECONDS)
    slow = (rate >= SLOW_HZ) & (rate < FAST_HZ)
    fast = (rate >= FAST_HZ) & (rate < FASTEST_HZ)
    return spectrum[slow].sum(axis=0), spectrum[fast].sum(axis=0)


def _contrast(power: np.ndarray) -> np.ndarray:
    """Returns the arithmetic over the geometric mean of each row in dB."""
    floored = np.maximum(power, 10 ** (SILENCE_DB / 10))
    return decibels(floored.mean(axis=1)) - decibels(floored).mean(axis=1)


def _last_bin(power: np.ndarray) -> int:
    level = decibels(power)
    return int(np.flatnonzero(level > level.max() - BANDWIDTH_DB)[-1])


def _dropouts(level: np.ndarray, speech_level: float) -> int:
    step = 2
    falls = (level[:-step] > speech_level - SPEECH_DB) & (level[step:] < level[:-step] - 30)
    return int(np.count_nonzero(np.diff(falls.astype(int)) == 1))


def _decay(level: np.ndarray, speech_level: float) -> float:
    span = round(0.1 / HOP_SECONDS)
    slopes = (level[:-span] - level[span:]) / (span * HOP_SECONDS)
    falling = slopes[(level[:-span] > speech_level - 15) & (slopes > 50)]
    return float(np.median(falling)) if len(falling) else 0.0
