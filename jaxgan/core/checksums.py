"""SHA-256 checksums of files, which reveal damage that no reader of the files would notice."""

import hashlib
import json
from collections.abc import Collection, Iterator

from etils import epath

from jaxgan.core import files

FILE = "sha256.json"
"""Lists the checksum of every other file of its folder, by the file's path in the folder."""


def digest(path: epath.Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits, reading it in small pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: epath.Path) -> None:
    """Writes the checksums of all files in the folder and its subfolders."""
    digests = {
        str(path.relative_to(folder)): digest(path)
        for path in _files_in(folder)
        # A process that was killed here has left a part of the list.
        if not path.name.startswith(FILE)
    }
    files.replace(folder / FILE, json.dumps(digests, indent=2).encode())


def recorded(folder: epath.Path) -> bool:
    """Returns whether the folder's checksums have been written."""
    return (folder / FILE).exists()


def check(folder: epath.Path, subfolders: Collection[str] | None = None) -> None:
    """Compares the files with their checksums; does nothing where none have been written.

    Args:
        folder: a folder that `write` may have been called for.
        subfolders: check only the files in these; by default all files.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: a file, or the list of the checksums, has changed.
    """
    if not recorded(folder):
        return
    for name, expected in json.loads((folder / FILE).read_text()).items():
        chosen = subfolders is None or name.split("/")[0] in subfolders
        if chosen and digest(folder / name) != expected:
            raise ValueError(f"{name} is damaged: its SHA-256 has changed")


def _files_in(folder: epath.Path) -> Iterator[epath.Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files_in(path)
        else:
            yield path
