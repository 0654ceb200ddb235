"""The history of a run on disk: one file a round, written once, checked when read.

A checkpoint lists the files that belong to it with their SHA-256, so it stays small while the
history grows, and files of later rounds (of a run that was killed before its next checkpoint) are
neither read nor in the way. A file is a NumPy .npz archive; nothing is ever unpickled.

Once a record is in a local file, its large arrays are read from there where they are used, so that
memory does not grow with the rounds.
"""

import hashlib
import io
import types
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from jaxgan.core import files
from jaxgan.core.errors import UserError
from jaxgan.core.state import History, Record

FOLDER = "history"
SMALL_BYTES = 65_536
"""Arrays up to this size stay in memory."""
_LOCAL_HEADER = 30
"""Bytes of a zip file before the name of a member, whose length stands in the last four."""


def freeze(record: Record) -> Record:
    """The record with arrays that cannot be written to any more; the data are not copied.

    Raises:
        TypeError: an array has a type that an .npz file does not keep, such as bfloat16.
    """
    arrays = {}
    for key, array in record.items():
        view = np.asarray(array).view()
        if view.dtype.kind not in "biufcSU":
            raise TypeError(f"history record {key!r}: .npz files cannot keep dtype {view.dtype}")
        view.flags.writeable = False
        arrays[key] = view
    return types.MappingProxyType(arrays)


def write(folder: epath.Path, record: Record, number: int) -> str | None:
    """Writes the record of one round, whole or not at all.

    Returns:
        The SHA-256 of the file in hex; None for an empty record, which has no file.
    """
    if not record:
        return None
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **record)
    data = stream.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(_path(folder, number), data)
    return hashlib.sha256(data).hexdigest()


class _Place(NamedTuple):
    """Where an array lies in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


class Stored(Mapping[str, np.ndarray]):
    """A record in its file.

    Small arrays are in memory. A large one is mapped anew whenever it is asked for, and let go with
    the last array that was cut from it: a run of thousands of rounds would otherwise have as many
    files open.

    Args:
        path: a local .npz file of `write`.
    """

    def __init__(self, path: epath.Path) -> None:
        self._path = str(path)
        self._arrays: dict[str, Any] = {}
        with zipfile.ZipFile(self._path) as archive, np.load(self._path) as arrays:
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                if member.file_size > SMALL_BYTES:
                    self._arrays[key] = _place(self._path, member)
                else:
                    self._arrays[key] = arrays[key]
                    self._arrays[key].flags.writeable = False

    def __getitem__(self, key: str) -> np.ndarray:
        """The array, which cannot be written to."""
        found = self._arrays[key]
        if isinstance(found, _Place):
            found = np.memmap(self._path, found.dtype, "r", found.offset, found.shape)
        return np.asanyarray(found)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """How many arrays there are."""
        return len(self._arrays)


def _place(path: str, member: zipfile.ZipInfo) -> _Place:
    """Where the array of a member begins; it is stored as it is, not compressed."""
    with open(path, "rb") as file:
        file.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(name + extra, io.SEEK_CUR)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return _Place(file.tell(), shape, dtype)


def stored(folder: epath.Path, record: Record, number: int) -> Record:
    """The record as its file holds it, or itself where the file is far or cannot be read here."""
    if not record or isinstance(record, Stored) or files.is_remote(folder):
        return record
    try:
        return Stored(_path(folder, number))
    except OSError:
        # A network disk may show the file that another process wrote only later.
        return record


def read(folder: epath.Path, digests: Sequence[str | None]) -> History:
    """The records of rounds 1, 2, ... as a checkpoint lists them.

    Raises:
        UserError: a file is missing or is not the one that the checkpoint was made with.
    """
    return tuple(_read_one(folder, number, digest) for number, digest in enumerate(digests, 1))


def _read_one(folder: epath.Path, number: int, digest: str | None) -> Record:
    if digest is None:
        return freeze({})
    path = _path(folder, number)
    remedy = "restore that file from a copy, or start a new run in another --workdir"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{path} is damaged: its SHA-256 is not the checkpoint's; {remedy}")
    try:
        if not files.is_remote(path):
            return Stored(path)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return freeze({key: arrays[key] for key in arrays.files})
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no .npz file ({error}); {remedy}") from error


def _path(folder: epath.Path, number: int) -> epath.Path:
    return folder / f"round_{number:06d}.npz"
