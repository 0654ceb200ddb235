"""The user's cache folder, and how an entry is put there so that no crash leaves half of one."""

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
"""No entry takes so long to make."""


def folder() -> Path:
    """$JAXGAN_CACHE, else $XDG_CACHE_HOME/jaxgan, else ~/.cache/jaxgan. Nothing is created."""
    if chosen := os.environ.get("JAXGAN_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "jaxgan"
    return Path.home() / ".cache" / "jaxgan"


def machine() -> str:
    """A name for this kind of processor, for what was compiled for it.

    A home folder can be shared by machines whose processors differ, and a program that was compiled
    for one may use instructions that another lacks.
    """
    try:
        with open("/proc/cpuinfo") as file:
            features = next(line for line in file if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


def put(entry: Path, fill: Callable[[Path], None]) -> bool:
    """Makes the folder `entry` from a temporary one beside it that `fill` has filled.

    The rename at the end is the only moment at which the entry appears, and it appears whole.
    Another process that was first wins. A full disk or a folder without write permission costs
    a warning and the entry, never the caller.

    Returns:
        Whether the entry is there.
    """
    temporary = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _sweep(entry.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
        fill(temporary)
        for path in temporary.iterdir():
            _flush(path)
        temporary.rename(entry)
    except OSError as error:
        if not entry.is_dir():
            log.warning("goes on without a cache, for %s cannot be written: %s", entry, error)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return entry.is_dir()


def _sweep(place: Path) -> None:
    """Removes what processes that were killed have left half done."""
    for left in place.glob(".*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _flush(path: Path) -> None:
    """Has the file on the disk before the rename that makes it visible."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
