"""The history of a run on disk: one file a round, written once and checked when it is first read.

A checkpoint lists the files that belong to it with their SHA-256, so it stays small while the
history grows. Files of later rounds, which a run that was killed before its next checkpoint may
leave, are never read. A file is a NumPy .npz archive; nothing is ever unpickled.

A record that is in a local file keeps only its small arrays in memory. Large arrays are mapped from
the file whenever they are used, so memory does not grow with the number of rounds.
"""

import hashlib
import io
import types
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from jaxgan.core import checksums, files
from jaxgan.core.errors import UserError
from jaxgan.core.state import History, Record

FOLDER = "history"
SMALL_BYTES = 65_536
"""Arrays up to this size stay in memory."""
_REMEDY = "restore that file from a copy, or start a new run in another --workdir"
_LOCAL_HEADER = 30
"""Bytes before the name of a member in a zip file; the last four give the name's and the extra
field's lengths."""


def freeze(record: Record) -> Record:
    """Returns the record with read-only views of its arrays; the data are not copied.

    Raises:
        TypeError: an array has a type that .npz files cannot store, such as bfloat16.
    """
    arrays = {}
    for key, array in record.items():
        view = np.asarray(array).view()
        if view.dtype.kind not in "biufcSU":
            raise TypeError(f"history record {key!r}: .npz files cannot store dtype {view.dtype}")
        view.flags.writeable = False
        arrays[key] = view
    return types.MappingProxyType(arrays)


def bounded(history: History, window: int | None) -> History:
    """Returns the history with empty records in place of all but the last `window` ones.

    `history[number - 1]` stays the record of round `number`. None stands for no limit.
    """
    old = 0 if window is None else max(0, len(history) - window)
    return (freeze({}),) * old + history[old:]


def write(folder: epath.Path, record: Record, number: int) -> str | None:
    """Writes the record of one round; the file is complete or absent.

    Returns:
        The SHA-256 of the file in hexadecimal digits; None for an empty record, which has no file.
    """
    if not record:
        return None
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **record)
    data = stream.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(_path(folder, number), data)
    return hashlib.sha256(data).hexdigest()


def remove_unused(folder: epath.Path, kept: Sequence[int], window: int) -> None:
    """Removes the files that no checkpoint lists.

    Args:
        folder: the folder of the history.
        kept: the rounds of all checkpoints.
        window: each of them lists the files of this many rounds up to its own.
    """
    if not folder.is_dir():
        return
    listed = {
        _path(folder, number).name for last in kept for number in range(last - window + 1, last + 1)
    }
    for path in folder.iterdir():
        if path.name not in listed:
            path.unlink()


class _Place(NamedTuple):
    """Where an array is in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


class Stored(Mapping[str, np.ndarray]):
    """A record that is read from its file when it is first used.

    Small arrays are read together, and the zip file's CRC-32 protects them. The file's SHA-256 is
    checked before its first large array is used, or at once if it has none. A large array is
    mapped each time it is asked for, and released with the last array that was sliced from it; a
    run of thousands of rounds would otherwise keep as many files open. In an object store, where
    files cannot be mapped, all arrays stay in memory.

    Every method that reads the file raises UserError if it is missing or damaged.

    Args:
        path: a file of `write`.
        digest: the SHA-256 that the file must have; None: it is not checked.
    """

    def __init__(self, path: epath.Path, digest: str | None = None) -> None:
        self._path = path
        self._digest = digest
        self._arrays: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> np.ndarray:
        """Returns the array, which is read-only."""
        found = self._read()[key]
        if isinstance(found, _Place):
            self._check()
            found = np.memmap(str(self._path), found.dtype, "r", found.offset, found.shape)
        return np.asanyarray(found)

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names."""
        return iter(self._read())

    def __len__(self) -> int:
        """Returns the number of arrays."""
        return len(self._read())

    def __bool__(self) -> bool:
        """Returns True without reading the file: an empty record has none."""
        return True

    def _read(self) -> dict[str, Any]:
        if self._arrays is None:
            try:
                found = _read_small(self._path)
            except Exception as error:
                # zipfile and NumPy raise errors of many types for a damaged file.
                raise UserError(
                    f"{self._path} cannot be read ({files.reason(error)}); {_REMEDY}"
                ) from error
            if not any(isinstance(array, _Place) for array in found.values()):
                self._check()
            self._arrays = found
        return self._arrays

    def _check(self) -> None:
        if self._digest is None:
            return
        try:
            damaged = checksums.digest(self._path) != self._digest
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be read ({files.reason(error)}); {_REMEDY}"
            ) from error
        if damaged:
            raise UserError(
                f"{self._path} is damaged: its SHA-256 is not the checkpoint's; {_REMEDY}"
            )
        self._digest = None


def stored(folder: epath.Path, record: Record, number: int) -> Record:
    """Returns a record that has been written as its file holds it.

    Returns the record itself if it is empty, in an object store, or not visible here yet: a network
    disk may show the files of another process only later.
    """
    path = _path(folder, number)
    if not record or isinstance(record, Stored) or files.is_remote(folder) or not path.exists():
        return record
    return Stored(path)


def read(folder: epath.Path, digests: Sequence[str | None]) -> History:
    """Returns the records of rounds 1, 2, ... that a checkpoint lists; they are read when used.

    Args:
        folder: the folder of the history.
        digests: the SHA-256 of each round's file, None for an empty record.

    Raises:
        UserError: a file is missing.
    """
    present = {path.name for path in folder.iterdir()} if any(digests) and folder.is_dir() else ()
    records: list[Record] = []
    for number, digest in enumerate(digests, 1):
        path = _path(folder, number)
        if digest is not None and path.name not in present:
            raise UserError(f"{path} does not exist; {_REMEDY}")
        records.append(freeze({}) if digest is None else Stored(path, digest))
    return tuple(records)


def _read_small(path: epath.Path) -> dict[str, Any]:
    """Returns the small arrays of a file and, if it is local, only the places of the large ones."""
    found: dict[str, Any] = {}
    local = not files.is_remote(path)
    with (
        path.open("rb") as file,
        zipfile.ZipFile(file) as archive,
        np.load(file, allow_pickle=False) as arrays,
    ):
        for member in archive.infolist():
            key = member.filename.removesuffix(".npy")
            if local and member.file_size > SMALL_BYTES:
                found[key] = _place(str(path), member)
            else:
                found[key] = arrays[key]
                found[key].flags.writeable = False
    return found


def _place(path: str, member: zipfile.ZipInfo) -> _Place:
    """Returns where the array of a member is; `np.savez` stores members without compression."""
    with open(path, "rb") as file:
        file.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(name + extra, io.SEEK_CUR)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return _Place(file.tell(), shape, dtype)


def _path(folder: epath.Path, number: int) -> epath.Path:
    return folder / f"round_{number:06d}.npz"
