"""Audio files: any format and rate that soundfile reads, as 16 kHz mono int16.

The rules, the same everywhere: channels are averaged; other rates are resampled with soxr at
its "HQ" quality; full scale 1.0 becomes 32768 and what lies beyond is clipped.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from jaxgan.core import files
from jaxgan.core.errors import UserError

SAMPLE_RATE = 16000
"""Hz. The one rate at which everything in this package works."""
FULL_SCALE = 32768
"""The int16 value (just out of reach) that stands for 1.0."""
LOUDEST_PEAK = 4.0
"""A float file that goes beyond this many times full scale was not written in units of 1.0."""
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd"),
        *("w64", "rf64", "caf", "sph", "nist", "voc", "avr", "paf", "htk", "ircam"),
    )
)
"""Names that count as audio when a folder is listed; case does not matter."""


UNREADABLE = (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError)
"""What decoding a file that is no audio, or damaged, may raise."""


class BadAudioError(Exception):
    """A file that gives no usable samples; the message says why, without the file's name."""


def undecodable(error: BaseException) -> str:
    """Why a file cannot be decoded, from one of `UNREADABLE`, without the file's name."""
    reason = str(error).split(":")[-1].strip().rstrip(".")
    return f"cannot be decoded ({reason or type(error).__name__})"


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Rounds float samples (full scale 1.0) to int16 and clips what lies beyond."""
    scaled = np.rint(np.asarray(samples, np.float32) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 samples as float32 with full scale 1.0; exact."""
    return np.asarray(samples, np.float32) / FULL_SCALE


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """float32 [n] at `rate` Hz -> float32 [about n * 16000 / rate] at 16000 Hz."""
    if rate == SAMPLE_RATE:
        return samples
    return soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Reads one file.

    Returns:
        (samples int16 [n] at 16000 Hz, n > 0; the file's own rate in Hz).

    Raises:
        BadAudioError: the file cannot be decoded, is empty, holds NaN or infinity, or was
            written in units in which full scale is not 1.0.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except UNREADABLE as error:
        raise BadAudioError(undecodable(error)) from error
    if len(samples) == 0:
        raise BadAudioError("empty")
    mono = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadAudioError("holds NaN or infinite samples")
    peak = float(np.abs(mono).max())
    if peak > LOUDEST_PEAK:
        raise BadAudioError(f"float samples go up to {peak:.0f} where full scale is 1.0")
    converted = to_int16(resample(mono, rate))
    if len(converted) == 0:
        raise BadAudioError("empty")
    return converted, rate


def write(path: str | os.PathLike[str], samples: np.ndarray) -> None:
    """Writes int16 [n] at 16000 Hz; the format follows the name's suffix."""
    soundfile.write(path, samples, SAMPLE_RATE)


@contextlib.contextmanager
def writable(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Tells a disk that is full or closed to us as what it is, a mistake of the user's.

    Raises:
        UserError: something in the block raised an OSError, or soundfile could not write.
    """
    try:
        with files.writable(folder):
            yield
    except soundfile.SoundFileError as error:
        reason = str(error).split(":")[-1].strip()
        raise UserError(
            f"cannot write in {folder} ({reason}): free space or mend the permissions, then run "
            "the same command again"
        ) from error


def find(folder: str | os.PathLike[str]) -> list[str]:
    """All audio files under a folder at any depth, linked folders included.

    Returns:
        Paths relative to the folder with "/" between parts, sorted. Hidden files are no audio.
    """
    return sorted(_walk(Path(folder)))


def _walk(folder: Path) -> Iterator[str]:
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name).relative_to(folder).as_posix()
