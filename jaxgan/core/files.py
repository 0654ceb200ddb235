"""Files of a run, on a local disk or an object store (gs://) alike."""

import contextlib
from collections.abc import Iterator

from etils import epath

from jaxgan.core.errors import UserError


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
