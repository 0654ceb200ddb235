"""Reads video files as grey pictures of a mouth, 25 a second, through PyAV.

The mouth is not detected: `Crop.box` is the same part of every frame, so the videos must show a
face that is centred already, as in LRS3 and AVSEC. The part is resized once, by Pillow's bilinear
filter, whose support grows with the reduction, so that it averages over all pixels.

Frame n of the result is the frame of the file that is nearest to n / 25 seconds after its first
frame. Videos of 25 frames a second therefore keep every frame, and others repeat or lose some.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from jaxgan.core import cache
from jaxgan.core.data_files import SKIPPED
from jaxgan.core.errors import UserError
from jaxgan.speech.data.videos import Crop

SUFFIX = ".mp4"
RATE = 25
"""Frames a second, see `videos.FRAME_SAMPLES`."""
RULES = "nearest frame, grey, bilinear: 1"
"""Part of the cache key; changed whenever the conversion of files to frames changes."""
TOLERANCE = 4
"""A video may differ from its audio by this many frames without a remark: the encoders of audio in
mp4 files add up to 2048 samples, which last 0.13 s at 16000 Hz."""
CLOSE_TO_RATE = 0.05
"""The most that the rate of a video with 25 frames a second may differ from that. Files state the
average of times that are rounded."""
LONGEST_GAP = 60.0
"""Seconds between two frames from which on the times of a file are damaged."""
PROGRESS_BAR_MINIMUM = 500
"""The number of files from which on reading them shows a progress bar."""


class BadVideoError(Exception):
    """Raised for a file without usable frames; the message says why but does not name the file."""


class Mouth(NamedTuple):
    """The frames of one file.

    Attributes:
        frames: uint8 [F, height, width].
        rate: the file's frames per second.
    """

    frames: np.ndarray
    rate: float


def require_av() -> Any:
    """Returns the package PyAV.

    Raises:
        UserError: it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise UserError(
            f"videos need PyAV ({error}): pip install 'jaxgan[video]', or pip install av"
        ) from error
    return av


def read(path: str | os.PathLike[str], crop: Crop, most: int) -> Mouth:
    """Reads one file.

    Args:
        path: the file.
        crop: the part of a frame, and its size in the result.
        most: how many frames to return at most; the rest of the file is not decoded.

    Raises:
        BadVideoError: there is no such file, it cannot be decoded, or has no video or no frames.
        UserError: PyAV is not installed.
    """
    av = require_av()
    if not os.path.exists(path):
        raise BadVideoError("there is no such file")
    # Opening a pipe would wait for a writer.
    if not os.path.isfile(path):
        raise BadVideoError("is not a file")
    frames: list[np.ndarray] = []
    try:
        # FFmpeg also reads playlists, whatever a file's suffix is; these must not name servers.
        with av.open(os.path.abspath(path), options={"protocol_whitelist": "file"}) as file:
            if not file.streams.video:
                raise BadVideoError("has no video stream")
            stream = file.streams.video[0]
            # Files are read in parallel, and threads of one decoder would only compete with these.
            stream.codec_context.thread_count = 1
            rate = float(stream.average_rate or RATE)
            for frame, repeats in _at_rate(file.decode(stream), rate):
                count = min(repeats, most - len(frames))
                if count > 0:
                    frames += [_crop(frame, crop)] * count
                if len(frames) >= most:
                    break
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        # The message repeats the name of the file or of a function of FFmpeg.
        reason = str(getattr(error, "strerror", None) or error).split(":")[0].strip()
        after = f" after {len(frames)} frames" if frames else ""
        raise BadVideoError(f"cannot be decoded{after} ({reason})") from error
    if not frames:
        raise BadVideoError("has no frames")
    return Mouth(np.stack(frames), rate)


def _at_rate(frames: Iterator[Any], rate: float) -> Iterator[tuple[Any, int]]:
    """Yields frames, each with the number of times that it is shown at `RATE`.

    Args:
        frames: the frames in the order in which they are shown.
        rate: frames per second, for frames without a time and for how long the last one lasts.
    """
    before: tuple[Any, float] | None = None
    first, done = 0.0, 0
    for number, frame in enumerate(frames):
        if frame.is_corrupt:
            raise ValueError("a damaged frame")
        time = number / rate if frame.time is None else float(frame.time)
        if before is None:
            first = time
        else:
            if time - before[1] > LONGEST_GAP:
                raise ValueError(f"{time - before[1]:.0f} s between two frames")
            # All times up to the middle of two frames are nearer to the one before.
            end = int(np.floor(((before[1] + time) / 2 - first) * RATE + 1e-6)) + 1
            yield before[0], max(end - done, 0)
            done = max(done, end)
        before = frame, time
    if before is not None:
        end = max(round((before[1] + 1 / rate - first) * RATE), 1)
        yield before[0], max(end - done, 0)


def _crop(frame: Any, crop: Crop) -> np.ndarray:
    """Returns the mouth of a decoded frame, uint8 [height, width]."""
    grey = Image.fromarray(frame.to_ndarray(format="gray"))
    top, left, bottom, right = crop.box
    box = left * grey.width, top * grey.height, right * grey.width, bottom * grey.height
    size = crop.width, crop.height
    return np.asarray(grey.resize(size, Image.Resampling.BILINEAR, box))


def remarks(mouth: Mouth, count: int) -> tuple[str, str]:
    """Returns in what way a video does not fit its audio, and what is done about it; or two "".

    Args:
        mouth: read with `most` greater than `count + TOLERANCE`.
        count: the frames that the audio lasts.
    """
    found, done = [], []
    if abs(mouth.rate - RATE) > CLOSE_TO_RATE:
        found.append(f"has {mouth.rate:g} frames a second")
        done.append(f"resampled to {RATE}")
    difference = len(mouth.frames) - count
    if difference < -TOLERANCE:
        found.append(f"ends {-difference / RATE:.2f} s before the audio")
        done.append("the rest of the audio has no video")
    elif difference > TOLERANCE:
        found.append("lasts longer than the audio")
        done.append("cut to its length")
    return " and ".join(found), " and ".join(done)


@dataclass(frozen=True, eq=False)
class Mouths:
    """The frames of a list of files.

    Attributes:
        frames: uint8 [total, height, width], of all files, one after the other; may be a read-only
            memory map.
        counts: int32 [n], the frames of each file; 0 if it cannot be used.
        reasons: one string per file: why it cannot be used or does not fit its audio, or "".
        actions: what is done about it.
    """

    frames: np.ndarray
    counts: np.ndarray
    reasons: tuple[str, ...]
    actions: tuple[str, ...]


def load(root: Path, names: Sequence[str], lasting: np.ndarray, crop: Crop) -> Mouths:
    """Reads files of one folder and keeps their frames in the user's cache folder.

    The cache entry is valid only for these names, sizes and modification times, this crop, and
    audio that lasts as long. It replaces earlier entries of the same folder. Without a cache the
    frames are in memory.

    Args:
        root: the folder.
        names: paths relative to it.
        lasting: int [n], the frames that the audio of each file lasts.
        crop: the part of a frame, and its size in the result.

    Raises:
        UserError: PyAV is not installed.
    """
    require_av()
    folder = root.resolve()
    rules = RULES, json.dumps(crop), json.dumps(lasting.tolist())
    entry = cache.entry_of_files("video", folder, names, *rules)

    def read_entry(entry: Path) -> Mouths:
        return _read_entry(entry, len(names), crop)

    cached = cache.read(entry, read_entry, "reading the videos again")
    if cached is not None:
        return cached
    if cache.put_for_files(entry, lambda place: _save(place, _each(folder, names, lasting, crop))):
        return read_entry(entry)
    parts = list(_each(folder, names, lasting, crop))
    shown = [frames for frames, _, _ in parts]
    nothing = np.zeros((0, crop.height, crop.width), np.uint8)
    return Mouths(
        np.concatenate([nothing, *shown]),
        np.array([len(frames) for frames in shown], np.int32),
        tuple(reason for _, reason, _ in parts),
        tuple(action for _, _, action in parts),
    )


def _each(
    folder: Path, names: Sequence[str], lasting: np.ndarray, crop: Crop
) -> Iterator[tuple[np.ndarray, str, str]]:
    """Yields the frames, the reason and the action of every file, in their order."""

    def one(name: str, count: int) -> tuple[np.ndarray, str, str]:
        try:
            mouth = read(folder / name, crop, count + TOLERANCE + 1)
        except BadVideoError as error:
            return np.zeros((0, crop.height, crop.width), np.uint8), str(error), SKIPPED
        return mouth.frames[:count], *remarks(mouth, count)

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=len(names) < PROGRESS_BAR_MINIMUM)
    with bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            found = threads.map(one, names, lasting.tolist())
            yield from bar.track(found, total=len(names), description="Reading videos")
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _save(place: Path, parts: Iterator[tuple[np.ndarray, str, str]]) -> None:
    """Writes the frames one file at a time, so that memory does not grow with their number."""
    counts, reasons, actions = [], [], []
    with (place / "frames.bin").open("wb") as file:
        for frames, reason, action in parts:
            file.write(frames.tobytes())
            counts.append(len(frames))
            reasons.append(reason)
            actions.append(action)
    index = {"counts": counts, "reasons": reasons, "actions": actions}
    (place / "index.json").write_text(json.dumps(index))


def _read_entry(entry: Path, files: int, crop: Crop) -> Mouths:
    index = json.loads((entry / "index.json").read_text())
    counts = np.array(index["counts"], np.int32)
    shape = int(counts.sum(dtype=np.int64)), crop.height, crop.width
    if len(counts) != files or (entry / "frames.bin").stat().st_size != np.prod(shape):
        raise ValueError("it has a different size")
    # An empty file cannot be mapped.
    frames = (
        np.memmap(entry / "frames.bin", np.uint8, "r", shape=shape)
        if shape[0]
        else np.zeros(shape, np.uint8)
    )
    return Mouths(frames, counts, tuple(index["reasons"]), tuple(index["actions"]))
