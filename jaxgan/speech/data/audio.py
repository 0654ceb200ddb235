"""Reads audio of any format and rate that soundfile supports as 16 kHz mono int16, and writes it.

The same rules apply everywhere: channels are averaged, other rates are resampled by soxr at its
"HQ" quality, full scale 1.0 becomes 32768, and louder samples are clipped.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr

from jaxgan.core import data_files, files

SAMPLE_RATE = 16000
"""Hz. The whole speech package works at this rate."""
FULL_SCALE = 32768
"""The int16 value that stands for 1.0; the largest int16 is one less."""
LOUDEST_PEAK = 4.0
"""A float file whose peak exceeds this does not use 1.0 as its full scale."""
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd"),
        *("w64", "rf64", "caf", "sph", "nist", "voc", "avr", "paf", "htk", "ircam"),
    )
)
"""File name suffixes that count as audio when a folder is listed, in lower case."""


UNREADABLE = (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError)
"""Exceptions that decoding may raise for a file that is damaged or is not audio."""


_SHORTER = re.compile(r"\b(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)")
"""What libsndfile notes on opening a WAV, AIFF, AU or W64 file that is shorter than it states."""
_UNKNOWN_SIZE = 2**31 - 2**16
"""Sizes from here on stand for an unknown size."""


_UNKNOWN_FRAMES = 2**62
"""libsndfile's numbers of frames from here on stand for an unknown length."""
BLOCK_SECONDS = 4
"""Duration of the blocks that are read from a file."""


class BadAudioError(Exception):
    """Raised for a file without usable samples; the message says why but does not name the file."""


def reason_undecodable(error: BaseException) -> str:
    """Returns why a file cannot be decoded, given one of `UNREADABLE`, without naming the file."""
    reason = str(error).split(":")[-1].strip().rstrip(".")
    return f"cannot be decoded ({reason or type(error).__name__})"


def open_to_read(path: str | os.PathLike[str]) -> soundfile.SoundFile:
    """Opens a file, whose name may be any bytes.

    Raises:
        BadAudioError: the file cannot be decoded, or is shorter than its header says.
    """
    try:
        file = soundfile.SoundFile(os.fsencode(path))
    except UNREADABLE as error:
        raise BadAudioError(reason_undecodable(error)) from error
    found = _SHORTER.search(file.extra_info)
    if found:
        stated, present = int(found[1]), int(found[2])
        # Programs that write to a pipe leave a size of 0 or of about 2 or 4 GiB in the header.
        if present < stated < _UNKNOWN_SIZE:
            file.close()
            raise BadAudioError(
                f"truncated: its header states {stated} bytes of samples, but {present} are there"
            )
    return file


def check_scale(samples: np.ndarray) -> None:
    """Checks float samples of any shape, as decoded; every reader of audio calls this.

    Raises:
        BadAudioError: the samples are in int16 units or otherwise far beyond a full scale of 1.0.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > LOUDEST_PEAK:
        raise BadAudioError(f"float samples reach {peak:.0f} where full scale is 1.0")


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Rounds float samples of any shape (full scale 1.0) to int16 and clips louder ones."""
    scaled = np.rint(np.asarray(samples, np.float32) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Returns int16 samples of any shape as float32 in [-1, 1), without rounding."""
    return np.asarray(samples, np.float32) / FULL_SCALE


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resamples float32 [n] at `rate` Hz to float32 [about n * 16000 / rate] at 16000 Hz."""
    if rate == SAMPLE_RATE:
        return samples
    return soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")


def reason_too_long(seconds: float, longest_seconds: float) -> str:
    """Returns why an utterance cannot be trained on, or "" if it is not too long."""
    if seconds <= longest_seconds:
        return ""
    return f"{seconds:.1f} s is longer than config.data.longest_seconds={longest_seconds:g}"


def read(path: str | os.PathLike[str], longest_seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Reads one file.

    Args:
        path: the file.
        longest_seconds: longer files are refused without decoding them further, since a small file
            may hold hours of silence.

    Returns:
        A pair: the samples, int16 [n] at 16000 Hz with n > 0; and the file's own rate in Hz.

    Raises:
        BadAudioError: the file cannot be decoded, is truncated, empty or too long, contains NaN or
            infinity, or is a float file whose full scale is not 1.0.
    """
    try:
        with open_to_read(path) as file:
            rate = file.samplerate
            parts = list(_mono_blocks(file, longest_seconds))
    except UNREADABLE as error:
        raise BadAudioError(reason_undecodable(error)) from error
    if not parts:
        raise BadAudioError("empty")
    mono = np.concatenate(parts)
    converted = mono if mono.dtype == np.int16 else to_int16(resample(mono, rate))
    if len(converted) == 0:
        raise BadAudioError("empty")
    return converted, rate


def _mono_blocks(file: soundfile.SoundFile, longest_seconds: float) -> Iterator[np.ndarray]:
    """Yields the mean of the channels: int16 [n] at 16000 Hz, float32 [n] at other rates."""
    rate = file.samplerate
    done = 0
    # The header comes first, but some formats do not state their length.
    stated = file.frames if file.frames < _UNKNOWN_FRAMES else 0
    while True:
        if reason := reason_too_long(max(stated, done) / rate, longest_seconds):
            raise BadAudioError(reason)
        block = file.read(BLOCK_SECONDS * rate, dtype="float32", always_2d=True)
        if not len(block):
            return
        done += len(block)
        mono = block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise BadAudioError("contains NaN or infinite samples")
        check_scale(block)
        yield to_int16(mono) if rate == SAMPLE_RATE else mono


def write(path: str | os.PathLike[str], samples: np.ndarray) -> None:
    """Writes int16 [n] as a 16000 Hz mono file in the format that the path's suffix names."""
    soundfile.write(os.fsencode(path), samples, SAMPLE_RATE)


@contextlib.contextmanager
def writable(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turns failures to write audio into user errors, like `files.writable` for other files.

    Raises:
        UserError: the block raised an OSError, or soundfile could not write.
    """
    with files.writable(folder):
        try:
            yield
        except soundfile.SoundFileError as error:
            raise OSError(str(error).split(":")[-1].strip()) from error


def find(folder: str | os.PathLike[str]) -> list[str]:
    """Lists the audio files under a folder; see `data_files.find`."""
    return data_files.find(folder, SUFFIXES)
