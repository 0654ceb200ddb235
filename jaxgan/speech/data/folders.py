"""Decodes and checks folders of audio, and divides them into training and validation files."""

import hashlib
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem, existing_folder
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.waves import Waves, load

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Folder:
    """The usable files of one folder.

    Attributes:
        files: paths relative to the folder, with "/" between their parts.
        waves: one wave per file.
        problems: the unusable files.
    """

    files: tuple[str, ...]
    waves: Waves
    problems: tuple[Problem, ...]

    def select(self, indices: Sequence[int] | np.ndarray) -> "Folder":
        """Returns the files with these indices, in this order, and all problems."""
        return Folder(
            tuple(self.files[index] for index in indices),
            self.waves.select(indices),
            self.problems,
        )


def read_folder(
    folder: Path, check: Callable[[np.ndarray], str], longest_seconds: float = math.inf
) -> Folder:
    """Reads and checks every audio file under a folder.

    Args:
        folder: an existing folder.
        check: takes the samples of a file, int16 [n] at 16000 Hz, and returns why they cannot be
            used, or "" if they can.
        longest_seconds: longer files are not decoded.
    """
    files = audio.find(folder)
    if not files:
        return Folder((), Waves(np.zeros(0, np.int16), *np.zeros((2, 0), np.int32)), ())
    decoded = load(folder, files, longest_seconds)
    usable, problems = [], []
    for index, file in enumerate(files):
        reason = decoded.reasons[index] or check(decoded.waves[index])
        if reason:
            problems.append(Problem(str(folder / file), reason))
        else:
            usable.append(index)
    return Folder(tuple(files), decoded.waves, tuple(problems)).select(usable)


def stems(files: Sequence[str]) -> list[str]:
    """Returns the paths without their suffixes, except where two paths would become the same."""
    bare = [PurePosixPath(file).with_suffix("").as_posix() for file in files]
    counts = Counter(bare)
    return [file if counts[stem] > 1 else stem for file, stem in zip(files, bare, strict=True)]


def normal(name: str) -> str:
    """Returns the composed form (NFC) of a name, in which equal names have equal code points."""
    return unicodedata.normalize("NFC", name)


def split(
    key: str,
    folder: str,
    check: Callable[[np.ndarray], str],
    data: ConfigDict,
    longest_seconds: float = math.inf,
) -> tuple[Folder, Folder]:
    """Returns the training and the validation files of a folder.

    They are the files under `train/` and `valid/` if both exist; otherwise `hold_out` divides the
    files of the folder.

    Args:
        key: the config key that names the folder, for messages.
        folder: its value.
        check: see `read_folder`.
        data: `config.data`.
        longest_seconds: see `read_folder`.

    Raises:
        UserError: there is no such folder, or one of the two sets has no usable file.
    """
    path = existing_folder(key, folder)
    parts = (path / "train", path / "valid")
    if all(part.is_dir() for part in parts):
        train, valid = (read_folder(part, check, longest_seconds) for part in parts)
        for part, found in zip(parts, (train, valid), strict=True):
            require_usable(key, part, found.files, found.problems)
        return train, valid
    whole = read_folder(path, check, longest_seconds)
    require_usable(key, path, whole.files, whole.problems)
    held = hold_out(key, path, whole.files, data)
    return whole.select(np.flatnonzero(~held)), whole.select(np.flatnonzero(held))


def require_usable(
    key: str, folder: Path, usable: Sequence[str], problems: Sequence[Problem]
) -> None:
    """Raises UserError if no file of a folder is usable, with the first problem as an example."""
    if usable:
        return
    if problems:
        raise UserError(
            f"{key}={folder}: none of its {len(problems)} audio files can be used, "
            f"for example {problems[0].path}: {problems[0].reason}"
        )
    raise UserError(f"{key}={folder}: contains no audio files")


def hold_out(key: str, folder: Path, files: Sequence[str], data: ConfigDict) -> np.ndarray:
    """Chooses files for validation: at least one, and not all of them.

    Files of one group, usually a speaker, stay together. A file's group is its folder or, if it has
    none, its name up to the first "_" or "-". Groups are considered in the order of a digest of
    their name and `data.seed`, and held out if they still fit into `data.valid_share`. If no group
    fits, single files are held out in the same way, and a warning says so.

    Args:
        key: the config key that names the folder, for messages.
        folder: the folder, for messages.
        files: paths relative to it, with "/" between their parts.
        data: `config.data`.

    Returns:
        bool [n], true for the files to hold out.

    Raises:
        UserError: there is only one file.
    """
    if len(files) < 2:
        raise UserError(
            f"{key}={folder}: one usable file is not enough for training and validation; "
            "add more, or put them into the folders train and valid"
        )
    limit = min(max(round(data.valid_share * len(files)), 1), len(files) - 1)
    for group_of in (_group, str):
        groups: dict[str, list[int]] = {}
        for index, file in enumerate(files):
            groups.setdefault(group_of(file), []).append(index)
        chosen: list[int] = []
        for name in sorted(groups, key=lambda name: _rank(name, data.seed)):
            if len(chosen) + len(groups[name]) <= limit:
                chosen.extend(groups[name])
        if chosen:
            break
    if len(groups) == len(files):
        _log.warning(
            "%s=%s: folders and names (before '_' or '-') show no speaker that fits into "
            "config.data.valid_share=%g, so single files are held out, and validation may hear "
            "voices of the training; folders train and valid choose the files themselves",
            *(key, folder, data.valid_share),
        )
    held = np.zeros(len(files), bool)
    held[chosen] = True
    return held


def _group(file: str) -> str:
    folder, _, name = file.rpartition("/")
    return folder or re.split("[_-]", name, maxsplit=1)[0]


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
