"""The history of a run on disk: one file a round, written once, checked when read.

A checkpoint lists the files that belong to it with their SHA-256, so it stays small while the
history grows, and files of later rounds (of a run that was killed before its next checkpoint) are
neither read nor in the way. A file is a NumPy .npz archive; nothing is ever unpickled.
"""

import hashlib
import io
import types
import zipfile
from collections.abc import Sequence

import numpy as np
from etils import epath

from jaxgan.core import files
from jaxgan.core.errors import UserError
from jaxgan.core.state import History, Record

FOLDER = "history"


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
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return freeze({key: arrays[key] for key in arrays.files})
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no .npz file ({error}); {remedy}") from error


def _path(folder: epath.Path, number: int) -> epath.Path:
    return folder / f"round_{number:06d}.npz"
