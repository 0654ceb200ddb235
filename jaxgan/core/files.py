"""Files of a run, on a local disk or an object store (gs://) alike."""

import contextlib
import errno
import fcntl
from collections.abc import Iterator

from etils import epath

from jaxgan.core.errors import UserError

LOCK_FILE = ".lock"


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path lies in an object store."""
    return "://" in str(path)


def absolute(workdir: epath.PathLike) -> epath.Path:
    """A folder as an absolute path, with ~ expanded; gs:// stays as it is."""
    path = epath.Path(workdir)
    return path if is_remote(path) else path.expanduser().absolute()


def replace(path: epath.Path, data: bytes) -> None:
    """Writes a file so that a reader finds the old one or the new one, never a part of it."""
    if is_remote(path):
        # An object appears when all of it has arrived.
        path.write_bytes(data)
        return
    part = path.parent / f"{path.name}.part"
    part.write_bytes(data)
    part.replace(path)


@contextlib.contextmanager
def writable(folder: epath.PathLike) -> Iterator[None]:
    """Tells a disk that is full or closed to us as what it is, a mistake of the user's.

    Raises:
        UserError: something in the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write in {folder} ({reason}): free space or mend the permissions, then run "
            "the same command again"
        ) from error


@contextlib.contextmanager
def claimed(folder: epath.Path) -> Iterator[None]:
    """Keeps a second run out of a folder, which has to exist, while the block lasts.

    The operating system takes the claim back when the process ends, however it ends. Object stores,
    and network disks without locks, know no claims: there nothing is kept out.

    Raises:
        UserError: another run has claimed the folder.
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
                    f"another run is at work in {folder}: wait for it, or give another --workdir"
                ) from error
        yield
