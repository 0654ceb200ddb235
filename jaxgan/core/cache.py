"""The user's cache folder, whose entries are complete or absent even after a crash."""

import hashlib
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

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


def _remove_abandoned(parent: Path) -> None:
    """Removes the temporary folders of processes that were killed."""
    for left in parent.glob(".*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until a file is on the disk, so that the rename never exposes missing data."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
