"""Many waveforms of unequal lengths in one int16 array, and how folders of files become one."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from jaxgan.core import cache
from jaxgan.speech.data import audio

log = logging.getLogger(__name__)

RULES = "mean of channels, soxr HQ, int16: 1"
"""Stands for how files become samples; cache entries made by other rules are not found."""
BAR_FROM = 500
"""Files that are worth a progress bar."""


@dataclass(frozen=True, eq=False)
class Waves:
    """Waveforms in one flat array; wave i is `samples[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        samples: int16 [total]; may be a read-only memory map.
        starts: int64 [n], in samples.
        lengths: int32 [n], in samples.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        """The number of waves."""
        return len(self.lengths)

    def __getitem__(self, number: int) -> np.ndarray:
        """int16 [n]: one wave, a view of the samples."""
        start = self.starts[number]
        return self.samples[start : start + self.lengths[number]]

    def select(self, numbers: Sequence[int] | np.ndarray) -> "Waves":
        """The waves of these numbers, in this order, sharing the samples."""
        chosen = np.asarray(numbers, np.int64)
        return Waves(self.samples, self.starts[chosen], self.lengths[chosen])

    def cut(self, lengths: np.ndarray) -> "Waves":
        """The same waves, each cut at its end to a length that is not greater than its own."""
        return Waves(self.samples, self.starts, np.asarray(lengths, np.int32))


def join(waves: Iterable[np.ndarray]) -> Waves:
    """Waves from single int16 arrays."""
    parts = list(waves)
    lengths = np.array([len(part) for part in parts], np.int32)
    return from_flat(np.concatenate([np.zeros(0, np.int16), *parts]), lengths)


def from_flat(samples: np.ndarray, lengths: np.ndarray) -> Waves:
    """Waves that lie one after another in `samples` (int16 [total]).

    Raises:
        ValueError: the lengths do not add up to the number of samples, or it is not int16.
    """
    if samples.dtype != np.int16 or samples.shape != (lengths.sum(dtype=np.int64),):
        raise ValueError("its parts do not fit together")
    return Waves(samples, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a list of files held.

    Attributes:
        waves: one wave a file, of length 0 where the file gave none.
        reasons: one string a file: "" where it gave samples, else why it did not.
        resampled: how many files came at another rate than 16000 Hz.
    """

    waves: Waves
    reasons: tuple[str, ...]
    resampled: int


def _decode(path: str) -> tuple[np.ndarray, str, bool]:
    try:
        samples, rate = audio.read(path)
    except audio.BadAudioError as error:
        return np.zeros(0, np.int16), str(error), False
    return samples, "", rate != audio.SAMPLE_RATE


def decode(paths: Sequence[str]) -> Decoded:
    """Reads files in parallel, one or more; the result does not depend on the threads.

    On a terminal, many files get a progress bar that vanishes when they are read.
    """
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=len(paths) < BAR_FROM)
    with bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        decoded = bar.track(
            threads.map(_decode, paths), total=len(paths), description="Reading audio"
        )
        samples, reasons, resampled = zip(*decoded, strict=True)
    return Decoded(join(samples), reasons, sum(resampled))


def load(root: str | os.PathLike[str], names: Sequence[str]) -> Decoded:
    """Reads files of one folder, by way of the user's cache if any of them must be resampled.

    The cache entry belongs to exactly these names, sizes and modification times; it replaces
    an older entry of the same folder.
    """
    folder = Path(root).resolve()
    entry = cache.folder() / "audio" / f"{_digest(str(folder))}-{_digest(*_stamps(folder, names))}"
    if entry.is_dir():
        try:
            return _recall(entry, len(names))
        except (OSError, ValueError, KeyError) as error:
            log.warning("reads the audio again, for %s is damaged: %s", entry, error)
            shutil.rmtree(entry, ignore_errors=True)
    decoded = decode([str(folder / name) for name in names])
    if decoded.resampled and cache.put(entry, lambda place: _save(place, decoded)):
        for other in entry.parent.glob(f"{entry.name.split('-')[0]}-*"):
            if other != entry:
                shutil.rmtree(other, ignore_errors=True)
        return _recall(entry, len(names))
    return decoded


def _stamps(folder: Path, names: Sequence[str]) -> Iterable[str]:
    yield RULES
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError:  # a broken link; decoding it will say so
            yield name
            continue
        yield f"{name}\0{status.st_size}\0{status.st_mtime_ns}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def _save(place: Path, decoded: Decoded) -> None:
    np.save(place / "samples.npy", decoded.waves.samples)
    index = {
        "lengths": decoded.waves.lengths.tolist(),
        "reasons": decoded.reasons,
        "resampled": decoded.resampled,
    }
    (place / "index.json").write_text(json.dumps(index))


def _recall(entry: Path, count: int) -> Decoded:
    index = json.loads((entry / "index.json").read_text())
    lengths = np.array(index["lengths"], np.int32)
    samples = np.load(entry / "samples.npy", mmap_mode="r", allow_pickle=False)
    if len(lengths) != count:
        raise ValueError("it belongs to other files")
    reasons, resampled = tuple(index["reasons"]), int(index["resampled"])
    return Decoded(from_flat(samples, lengths), reasons, resampled)
