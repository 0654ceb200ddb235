"""The user's cache folder, whose entries are complete or absent even after a crash."""

import hashlib
import logging
import os
import platform
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

log = logging.getLogger(__name__)

Content = TypeVar("Content")
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""The exceptions that reading a damaged entry may raise."""
ABANDONED_SECONDS = 24 * 3600
"""A temporary folder of this age belongs to no process that is still filling it."""


def folder() -> Path:
    """Returns $JAXGAN_CACHE, else $XDG_CACHE_HOME/jaxgan, else ~/.cache/jaxgan.

    The folder is not created, and may not be writable.
    """
    if chosen := os.environ.get("JAXGAN_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "jaxgan"
    return Path.home() / ".cache" / "jaxgan"


def machine() -> str:
    """Returns a name for this kind of processor, to keep compiled programs under.

    Machines with different processors can share a home folder, and a program that was compiled for
    one of them may use instructions that another lacks.
    """
    try:
        with open("/proc/cpuinfo") as file:
            features = next(line for line in file if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


def put(entry: Path, fill: Callable[[Path], None]) -> bool:
    """Lets `fill` write into a temporary folder, then renames that folder to `entry`.

    The entry is therefore complete as soon as it exists. If another process is faster, its entry
    stays. If the disk is full or the folder is not writable, this logs a warning.

    Returns:
        Whether the entry exists.
    """
    temporary = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(entry.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
        fill(temporary)
        for path in temporary.iterdir():
            _flush(path)
        temporary.rename(entry)
    except OSError as error:
        if not entry.is_dir():
            log.warning("continuing without a cache: cannot write %s (%s)", entry, error)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return entry.is_dir()


def read(entry: Path, load: Callable[[Path], Content], again: str) -> Content | None:
    """Returns what `load` reads from an entry; None if there is no such entry or it is damaged.

    A damaged entry is removed, and a warning says what is done again.

    Args:
        entry: its folder.
        load: reads the folder, and raises one of `DAMAGED` if it cannot be used.
        again: what the caller does without it, such as "reading the audio again".
    """
    if not entry.is_dir():
        return None
    try:
        return load(entry)
    except DAMAGED as error:
        log.warning("%s because %s is damaged: %s", again, entry, error)
        shutil.rmtree(entry, ignore_errors=True)
        return None


def entry_of_files(kind: str, root: Path, names: Iterable[str], *rules: str) -> Path:
    """Returns the folder of the entry for files; it changes with their sizes and times.

    Args:
        kind: the folder of all entries of this kind.
        root: the absolute folder of the files.
        names: their paths relative to it.
        rules: what else the content of the entry depends on.
    """
    stamps = (_stamp(root, name) for name in names)
    return folder() / kind / f"{_digest(str(root))}-{_digest(*rules, *stamps)}"


def put_for_files(entry: Path, fill: Callable[[Path], None]) -> bool:
    """Like `put` for an entry of `entry_of_files`; removes earlier entries of the same root."""
    if not put(entry, fill):
        return False
    for other in entry.parent.glob(f"{entry.name.split('-')[0]}-*"):
        if other != entry:
            shutil.rmtree(other, ignore_errors=True)
    return True


def _stamp(root: Path, name: str) -> str:
    try:
        status = (root / name).stat()
    except OSError:  # a broken link, which decoding reports
        return name
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def _remove_abandoned(parent: Path) -> None:
    """Removes the temporary folders of processes that were killed."""
    for left in parent.glob(".*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until a file is on the disk, so that the rename never exposes missing data."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
