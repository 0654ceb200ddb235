"""Stores many waveforms of different lengths in one int16 array, and reads them from files."""

import functools
import json
import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from jaxgan.core import cache
from jaxgan.speech.data import audio

RULES = "mean of channels, soxr HQ, int16: 1"
"""Part of the cache key; changed whenever the conversion of files to samples changes."""
PROGRESS_BAR_MINIMUM = 500
"""The number of files from which on reading them shows a progress bar."""


@dataclass(frozen=True, eq=False)
class Waves:
    """Waveforms in one flat array. Wave i is `samples[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        samples: int16 [total]; may be a read-only memory map.
        starts: int64 [n], in samples.
        lengths: int32 [n], in samples.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        """Returns the number of waves."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns one wave, int16 [n], as a view of the samples."""
        start = self.starts[index]
        return self.samples[start : start + self.lengths[index]]

    def select(self, indices: Sequence[int] | np.ndarray) -> "Waves":
        """Returns the waves with these indices, in this order, sharing the samples."""
        chosen = np.asarray(indices, np.int64)
        return Waves(self.samples, self.starts[chosen], self.lengths[chosen])

    def truncate(self, lengths: np.ndarray) -> "Waves":
        """Returns the same waves truncated to these lengths, none greater than the wave's own."""
        return Waves(self.samples, self.starts, np.asarray(lengths, np.int32))


def join(waves: Iterable[np.ndarray]) -> Waves:
    """Copies single int16 arrays into one `Waves`."""
    parts = list(waves)
    lengths = np.array([len(part) for part in parts], np.int32)
    return from_flat(np.concatenate([np.zeros(0, np.int16), *parts]), lengths)


def from_flat(samples: np.ndarray, lengths: np.ndarray) -> Waves:
    """Returns the waves that are stored one after another in `samples`, int16 [total].

    Raises:
        ValueError: the lengths do not add up to the number of samples, or these are not int16.
    """
    if samples.dtype != np.int16 or samples.shape != (lengths.sum(dtype=np.int64),):
        raise ValueError("samples and lengths do not match")
    return Waves(samples, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)


@dataclass(frozen=True, eq=False)
class Decoded:
    """The decoded samples of a list of files.

    Attributes:
        waves: one wave per file, of length 0 where the file could not be decoded.
        reasons: one string per file: why it could not be decoded, or "".
        resampled: the number of files with a rate other than 16000 Hz.
    """

    waves: Waves
    reasons: tuple[str, ...]
    resampled: int

    def select(self, indices: Sequence[int]) -> "Decoded":
        """Returns the files with these indices, in this order."""
        reasons = tuple(self.reasons[index] for index in indices)
        return Decoded(self.waves.select(indices), reasons, self.resampled)


def _decode(path: str, longest_seconds: float) -> tuple[np.ndarray, str, bool]:
    try:
        samples, rate = audio.read(path, longest_seconds)
    except audio.BadAudioError as error:
        return np.zeros(0, np.int16), str(error), False
    return samples, "", rate != audio.SAMPLE_RATE


def decode(paths: Sequence[str], longest_seconds: float = math.inf) -> Decoded:
    """Reads one or more files in parallel, in the order of `paths`; see `audio.read`.

    On a terminal, reading many files shows a progress bar, which disappears at the end.
    """
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=len(paths) < PROGRESS_BAR_MINIMUM)
    with bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        decoded = bar.track(
            threads.map(functools.partial(_decode, longest_seconds=longest_seconds), paths),
            total=len(paths),
            description="Reading audio",
        )
        samples, reasons, resampled = zip(*decoded, strict=True)
    return Decoded(join(samples), reasons, sum(resampled))


def load(
    root: str | os.PathLike[str], names: Sequence[str], longest_seconds: float = math.inf
) -> Decoded:
    """Reads files of one folder, and caches them on disk if any has to be resampled.

    The cache entry is valid only for these names, sizes and modification times. It replaces earlier
    entries of the same folder.

    Args:
        root: the folder.
        names: one or more paths relative to it.
        longest_seconds: longer files are not decoded.
    """
    folder = Path(root).resolve()
    entry = cache.entry_of_files("audio", folder, names, RULES, f"{longest_seconds:g}")

    def read(entry: Path) -> Decoded:
        return _read_entry(entry, len(names))

    cached = cache.read(entry, read, "reading the audio again")
    if cached is not None:
        return cached
    decoded = decode([str(folder / name) for name in names], longest_seconds)
    if decoded.resampled and cache.put_for_files(entry, lambda place: _save(place, decoded)):
        return read(entry)
    return decoded


def _save(folder: Path, decoded: Decoded) -> None:
    np.save(folder / "samples.npy", decoded.waves.samples)
    index = {
        "lengths": decoded.waves.lengths.tolist(),
        "reasons": decoded.reasons,
        "resampled": decoded.resampled,
    }
    (folder / "index.json").write_text(json.dumps(index))


def _read_entry(entry: Path, count: int) -> Decoded:
    index = json.loads((entry / "index.json").read_text())
    lengths = np.array(index["lengths"], np.int32)
    samples = np.load(entry / "samples.npy", mmap_mode="r", allow_pickle=False)
    if len(lengths) != count:
        raise ValueError("it has a different number of files")
    reasons, resampled = tuple(index["reasons"]), int(index["resampled"])
    return Decoded(from_flat(samples, lengths), reasons, resampled)
