"""Files of a run, on a local disk or in an object store (gs://)."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from etils import epath

from jaxgan.core.errors import UserError

LOCK_FILE = ".lock"
_STORAGE_ERRORS = ("os_error_code", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAVAILABLE")


PRETRAINED = "pretrained"
"""Stands for the folder of the network in the package, wherever the folder of a run is given."""
PRETRAINED_FOLDER = Path(__file__).parents[1] / PRETRAINED


def is_remote(path: epath.PathLike) -> bool:
    """Returns whether a path is in an object store."""
    return "://" in str(path)


def absolute(workdir: epath.PathLike) -> epath.Path:
    """Returns a folder as an absolute path, with ~ expanded; gs:// paths stay the same.

    The name "pretrained" gives the folder of the network that comes with the package.
    """
    path = epath.Path(PRETRAINED_FOLDER if os.fspath(workdir) == PRETRAINED else workdir)
    return path if is_remote(path) else path.expanduser().absolute()


def check_reachable(folder: epath.Path) -> None:
    """Raises UserError if a folder in an object store cannot be reached."""
    if not is_remote(folder):
        return
    try:
        folder.exists()
    except Exception as error:  # each kind of store has its own errors
        raise UserError(
            f"{folder} cannot be reached ({reason(error)}): check its name, the network and your "
            "credentials"
        ) from error


def replace(path: epath.Path, data: bytes) -> None:
    """Writes a file so that a reader finds either the old content or all of the new content."""
    if is_remote(path):
        # An object becomes visible only when it is complete.
        path.write_bytes(data)
        return
    part = path.parent / f"{path.name}.part"
    part.write_bytes(data)
    part.replace(path)


def write_report(path: epath.Path, data: bytes) -> None:
    """Writes a file as `replace` does; without data, it removes the file of an earlier report."""
    if data:
        replace(path, data)
    elif path.exists():
        path.unlink()


def check_same_data(folder: epath.Path, files: Mapping[str, bytes]) -> None:
    """Raises UserError unless the files that identify the data of a run are in its folder.

    Args:
        folder: the folder of the run.
        files: what the data that its config describes give now; see `Recipe.files`.
    """
    for name, data in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            raise UserError(
                f"{path} does not match the data that config.data describes: restore the data that "
                "the run was trained with"
            )


@contextlib.contextmanager
def writable(folder: epath.PathLike, intact: str = "") -> Iterator[None]:
    """Turns the errors of a full or protected disk in the block into a UserError.

    Args:
        folder: where the block writes.
        intact: a clause with "; " at its end that says what is unharmed.

    Raises:
        UserError: the block raised an OSError, or a ValueError of tensorstore's about the storage.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        # tensorstore reports the operating system's errors as ValueError.
        if isinstance(error, ValueError) and not any(m in str(error) for m in _STORAGE_ERRORS):
            raise
        raise UserError(
            f"cannot write in {folder} ({reason(error)}): {intact}free space or correct the "
            "permissions, then run the same command again"
        ) from error


def reason(error: Exception) -> str:
    """Returns the cause of an error on one line, without tensorstore's internal details."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # What orbax and tensorstore add for their own developers.
    text = str(error).split(" [")[0].split(" See full TensorStore")[0]
    lines = text.splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else f"...{lines[0][-200:]}"


@contextlib.contextmanager
def claimed(folder: epath.Path) -> Iterator[None]:
    """Keeps a second run out of an existing folder during the block.

    The operating system releases the lock when the process ends, however it ends. Object stores and
    network disks without locks keep nobody out.

    Raises:
        UserError: another run is using the folder.
    """
    if is_remote(folder):
        yield
        return
    with contextlib.ExitStack() as stack:
        with writable(folder):
            file = stack.enter_context((folder / LOCK_FILE).open("a"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UserError(
                    f"another run is using {folder}: wait until it ends, or give another --workdir"
                ) from error
        yield
