"""A user's folder of pictures, one sub-folder for each class or without classes."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import Progress

from jaxgan.core import cache
from jaxgan.core.data_files import Problem, existing_folder, find
from jaxgan.core.errors import UserError
from jaxgan.images.data import pictures
from jaxgan.images.data.dataset import Images, Opened, without_labels

KEY = "config.data.root"
TRAIN = "train"
VALID = ("valid", "val", "test")
"""Names of the folder of the validation set; the first that exists counts."""
RULES = "center square, LANCZOS, over white: 1"
"""Part of the cache key; changed whenever the conversion of files to pixels changes."""
PROGRESS_BAR_MINIMUM = 500
"""Reading at least this many files shows a progress bar."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of a list of files.

    Attributes:
        values: uint8 [usable files, size, size, channels], in the order of the files.
        reasons: one string per file: why it cannot be used, or "".
    """

    values: np.ndarray
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Folder:
    """The usable pictures of one folder.

    Attributes:
        names: paths relative to the folder, with "/" between their parts.
        values: uint8 [n, size, size, channels].
        problems: the files that cannot be used.
        empty: the folders of classes that hold no usable picture.
    """

    names: tuple[str, ...]
    values: np.ndarray
    problems: tuple[Problem, ...]
    empty: tuple[str, ...]

    @property
    def loose(self) -> bool:
        """Whether any picture is in the folder itself, not in that of a class."""
        return any("/" not in name for name in self.names)

    @property
    def class_of(self) -> tuple[str, ...]:
        """The class of each picture: the first folder of its path, or ""."""
        return tuple(name.rpartition("/")[0].partition("/")[0] for name in self.names)


def open_folder(data: ConfigDict) -> Opened:
    """Returns the pictures of `data.root`, resized to `data.size` and `data.channels`.

    They are those under train/ and valid/ (or val/ or test/) if both exist; otherwise a share of
    all pictures is held out, see `hold_out`. Within these folders, a sub-folder is a class, and
    pictures may be in it at any depth. If a picture is outside the sub-folders, no picture has a
    class.

    Raises:
        UserError: there is no such folder, one of the two sets has no usable picture, or the
            validation set has a class that the training set lacks.
    """
    root = existing_folder(KEY, data.root)
    valid_name = next((name for name in VALID if (root / name).is_dir()), None)
    if valid_name and (root / TRAIN).is_dir():
        parts = [read_folder(root / name, data.size, data.channels) for name in (TRAIN, valid_name)]
        return _labelled(root, parts[0], parts[1])
    whole = read_folder(root, data.size, data.channels)
    held = hold_out(root, whole.names, whole.class_of, data.valid_share, data.seed)
    train, valid = (
        Folder(
            tuple(whole.names[index] for index in chosen),
            whole.values[chosen],
            problems,
            empty,
        )
        for chosen, problems, empty in (
            (np.flatnonzero(~held), whole.problems, whole.empty),
            (np.flatnonzero(held), (), ()),
        )
    )
    return _labelled(root, train, valid)


def _labelled(root: Path, train: Folder, valid: Folder) -> Opened:
    problems = (*train.problems, *valid.problems)
    notes = [f"the folder {name!r} holds no usable picture: it is no class" for name in train.empty]
    if train.loose or valid.loose:
        if any(train.class_of) or any(valid.class_of):
            notes.append(f"pictures are in {root} and in its sub-folders: none of them has a class")
        sets = without_labels(train.values), without_labels(valid.values)
        return Opened(*sets, problems, tuple(notes))
    classes = tuple(sorted(set(train.class_of)))
    unknown = sorted(set(valid.class_of) - set(classes))
    if unknown:
        raise UserError(
            f"{KEY}={root}: the validation set has the class {unknown[0]!r}, of which the training "
            "set has no usable picture: add some, or remove the folder"
        )
    if len(classes) == 1:
        notes.append(f"{classes[0]!r} is the only class: labels tell a system nothing")
    number = {name: place for place, name in enumerate(classes)}
    train_set, valid_set = (
        Images(part.values, np.array([number[name] for name in part.class_of], np.int32), classes)
        for part in (train, valid)
    )
    return Opened(train_set, valid_set, problems, tuple(notes))


def read_folder(folder: Path, size: int, channels: int) -> Folder:
    """Reads every picture under a folder.

    Args:
        folder: an existing folder.
        size: pixels of a side.
        channels: 1 or 3.

    Raises:
        UserError: no picture of the folder can be used.
    """
    names = find(folder, pictures.SUFFIXES)
    if not names:
        raise UserError(f"{KEY}: {folder} holds no pictures, such as .png or .jpg files")
    decoded = load(folder, names, size, channels)
    pairs = list(zip(names, decoded.reasons, strict=True))
    problems = tuple(Problem(str(folder / name), reason) for name, reason in pairs if reason)
    if len(problems) == len(names):
        raise UserError(
            f"{KEY}: none of the {len(names)} pictures in {folder} can be used, for example "
            f"{problems[0].path}: {problems[0].reason}"
        )
    usable = tuple(name for name, reason in pairs if not reason)
    found = {name.partition("/")[0] for name in usable if "/" in name}
    empty = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in found
    )
    return Folder(usable, decoded.values, problems, tuple(empty))


def hold_out(
    root: Path, names: Sequence[str], class_of: Sequence[str], share: float, seed: int
) -> np.ndarray:
    """Chooses pictures for validation: at least one, and never the last one of a class.

    Pictures are considered in the order of a digest of their name and the seed, so that a choice
    changes little if pictures are added.

    Args:
        root: the folder, for messages.
        names: the names of the pictures.
        class_of: the class of each.
        share: the share of the pictures to hold out.
        seed: any number.

    Returns:
        bool [n], true for the pictures to hold out.

    Raises:
        UserError: no class has a second picture.
    """
    wanted = max(round(share * len(names)), 1)
    left = Counter(class_of)
    held = np.zeros(len(names), bool)
    for index in sorted(range(len(names)), key=lambda index: _rank(names[index], seed)):
        if left[class_of[index]] > 1 and held.sum() < wanted:
            left[class_of[index]] -= 1
            held[index] = True
    if not held.any():
        raise UserError(
            f"{KEY}={root}: one usable picture of a class is not enough for training and "
            f"validation; add more, or put them into the folders {TRAIN} and {VALID[0]}"
        )
    return held


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def load(
    folder: Path, names: Sequence[str], size: int, channels: int, side_by_side: bool = False
) -> Decoded:
    """Reads pictures of one folder, from the user's cache folder if they are there.

    The cache entry is valid only for these arguments, and for these names, sizes and modification
    times. It replaces earlier entries of the same folder.

    Args:
        folder: where the pictures are.
        names: one or more paths relative to it.
        size: pixels of a side.
        channels: 1 or 3.
        side_by_side: whether each file is two pictures; see `pictures.read_side_by_side`, which
            gives twice as many channels.
    """
    place = folder.resolve()
    rules = (RULES, str(size), str(channels), "side by side" if side_by_side else "whole")
    entry = cache.entry_of_files("pictures", place, names, *rules)

    def read(entry: Path) -> Decoded:
        return _read_entry(entry, len(names))

    cached = cache.read(entry, read, "reading the pictures again")
    if cached is not None:
        return cached
    decoded = decode([place / name for name in names], size, channels, side_by_side)
    if cache.put_for_files(entry, lambda temporary: _save(temporary, decoded)):
        return read(entry)
    return decoded


def decode(paths: Sequence[Path], size: int, channels: int, side_by_side: bool = False) -> Decoded:
    """Reads one or more pictures in parallel, in the order of `paths`; see `load`.

    On a terminal, reading many files shows a progress bar, which disappears at the end.
    """
    read_one = pictures.read_side_by_side if side_by_side else pictures.read
    values = np.empty((len(paths), size, size, channels * (1 + side_by_side)), np.uint8)

    def read(index: int) -> str:
        try:
            values[index] = read_one(paths[index], channels, size)
        except pictures.BadImageError as error:
            return str(error)
        return ""

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=len(paths) < PROGRESS_BAR_MINIMUM)
    with pictures.limited(), bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        read_ones = threads.map(read, range(len(paths)))
        reasons = tuple(bar.track(read_ones, total=len(paths), description="Reading pictures"))
    return Decoded(values[[not reason for reason in reasons]], reasons)


def _save(entry: Path, decoded: Decoded) -> None:
    np.save(entry / "values.npy", decoded.values)
    (entry / "reasons.json").write_text(json.dumps(decoded.reasons))


def _read_entry(entry: Path, count: int) -> Decoded:
    reasons = tuple(json.loads((entry / "reasons.json").read_text()))
    values = np.load(entry / "values.npy", mmap_mode="r", allow_pickle=False)
    if len(reasons) != count or len(values) != reasons.count(""):
        raise ValueError("it holds another number of pictures")
    return Decoded(values, reasons)
