"""Folders of audio, decoded and checked: the step that all corpora have in common."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.checks import Problem
from jaxgan.speech.data.waves import Waves, load


@dataclass(frozen=True, eq=False)
class Folder:
    """The usable files of one folder.

    Attributes:
        files: paths relative to the folder, "/" between parts.
        waves: one wave a file.
        problems: the other files.
    """

    files: tuple[str, ...]
    waves: Waves
    problems: tuple[Problem, ...]

    def select(self, numbers: Sequence[int] | np.ndarray) -> "Folder":
        """The files of these numbers, in this order; the problems stay."""
        return Folder(
            tuple(self.files[number] for number in numbers),
            self.waves.select(numbers),
            self.problems,
        )


def existing(key: str, folder: str | os.PathLike[str]) -> Path:
    """The folder that a config key names, or UserError."""
    if not str(folder):
        raise UserError(f"{key} is not set: give the folder")
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UserError(f"{key}={folder}: there is no such folder")
    return place


def read_folder(place: Path, fault: Callable[[np.ndarray], str]) -> Folder:
    """Reads every audio file under a folder that exists.

    Args:
        place: the folder.
        fault: int16 [n] -> why these samples are of no use, or "".
    """
    files = audio.find(place)
    if not files:
        return Folder((), Waves(np.zeros(0, np.int16), *np.zeros((2, 0), np.int32)), ())
    decoded = load(place, files)
    good, problems = [], []
    for number, (file, reason) in enumerate(zip(files, decoded.reasons, strict=True)):
        what = reason or fault(decoded.waves[number])
        if what:
            problems.append(Problem(str(place / file), what))
        else:
            good.append(number)
    everything = Folder(tuple(files), decoded.waves, tuple(problems))
    return everything.select(good)


def stems(files: Sequence[str]) -> list[str]:
    """The files' names without suffix; with it where two names would be the same."""
    bare = [PurePosixPath(file).with_suffix("").as_posix() for file in files]
    several = {stem for stem in bare if bare.count(stem) > 1} if len(set(bare)) < len(bare) else ()
    return [file if stem in several else stem for file, stem in zip(files, bare, strict=True)]


def split(
    key: str, folder: str, fault: Callable[[np.ndarray], str], data: ConfigDict
) -> tuple[Folder, Folder]:
    """The training and the validation files under the folder that a config key names.

    They are those under `train/` and `valid/` where both exist; otherwise `hold_out` divides.

    Raises:
        UserError: no such folder, or no usable file for one of the two sets.
    """
    place = existing(key, folder)
    parts = (place / "train", place / "valid")
    if all(part.is_dir() for part in parts):
        train, valid = (read_folder(part, fault) for part in parts)
        for part, found in zip(parts, (train, valid), strict=True):
            require(key, part, found.files, found.problems)
        return train, valid
    whole = read_folder(place, fault)
    require(key, place, whole.files, whole.problems)
    held = hold_out(key, place, whole.files, data)
    return whole.select(np.flatnonzero(~held)), whole.select(np.flatnonzero(held))


def require(key: str, place: Path, usable: Sequence[str], problems: Sequence[Problem]) -> None:
    """Raises UserError if nothing is usable, with the first file's reason."""
    if usable:
        return
    if problems:
        raise UserError(
            f"{key}={place}: none of its {len(problems)} audio files can be used, "
            f"for example {problems[0].path}: {problems[0].what}"
        )
    raise UserError(f"{key}={place}: holds no audio files")


def hold_out(key: str, place: Path, files: Sequence[str], data: ConfigDict) -> np.ndarray:
    """Which files are for validation; at least one is, and at least one is not.

    Files of one group stay together: of one folder where there are folders, else of one name up
    to the first "_" or "-" (how corpora name speakers). Groups are taken in an order that a
    digest of name and `data.seed` decides, each that still fits into `data.valid_share`. Where
    none fits, single files are taken in the same way.

    Returns:
        bool [n], true for what is held out.

    Raises:
        UserError: there is only one file.
    """
    if len(files) < 2:
        raise UserError(
            f"{key}={place}: one usable file cannot serve training and validation; "
            "add more, or put them into the folders train and valid"
        )
    most = min(max(round(data.valid_share * len(files)), 1), len(files) - 1)
    for group_of in (_group, str):
        groups: dict[str, list[int]] = {}
        for number, file in enumerate(files):
            groups.setdefault(group_of(file), []).append(number)
        chosen: list[int] = []
        for name in sorted(groups, key=lambda name: _rank(name, data.seed)):
            if len(chosen) + len(groups[name]) <= most:
                chosen.extend(groups[name])
        if chosen:
            break
    held = np.zeros(len(files), bool)
    held[chosen] = True
    return held


def _group(file: str) -> str:
    folder, _, name = file.rpartition("/")
    return folder or re.split("[_-]", name, maxsplit=1)[0]


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
