"""A user's pictures of two domains A and B, with or without pairs.

pairs/A/1.png  pairs/B/1.png                        two folders; equal names are a pair
pairs/A/train/1.png  pairs/B/train/1.png ...        the same, divided by the user
pairs/train/1.jpg  pairs/val/2.jpg                  side by side, as pix2pix's data sets: A is left
trainA/  trainB/  testA/  testB/                    without pairs, as CycleGAN's data sets
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem, existing_folder, find
from jaxgan.core.errors import UserError
from jaxgan.images.data import pictures
from jaxgan.images.data.domains import Domains, OpenedDomains
from jaxgan.images.data.folder import KEY, TRAIN, VALID, hold_out, load, read_folder

A, B = "A", "B"
"""The folders of pairs, and the ends of the names of the folders without pairs."""


def open_paired(data: ConfigDict) -> OpenedDomains:
    """Returns the pairs of `data.root`, resized to `data.size` and `data.channels`.

    They are in the folders A and B, or side by side in one picture. The training and the validation
    set are train/ and valid/ (or val/ or test/) if both exist; otherwise a share is held out. A
    picture without a partner, and a pair of pictures of unequal size, cannot be used.

    Raises:
        UserError: there is no such folder, or fewer than two pairs can be used.
    """
    root = existing_folder(KEY, data.root)
    read = _two_folders if (root / A).is_dir() and (root / B).is_dir() else _side_by_side
    names, a, b, problems = read(root, data.size, data.channels)
    if not names:
        example = f", for example {problems[0].path}: {problems[0].reason}" if problems else ""
        raise UserError(
            f"{KEY}={root}: holds no pair of pictures that can be used{example}; give the folders "
            f"{A} and {B} with pictures of equal names, or pictures side by side"
        )
    train, valid = _divide(root, names, data.valid_share, data.seed)
    return OpenedDomains(
        Domains(a[train], b[train], True), Domains(a[valid], b[valid], True), tuple(problems)
    )


def open_unpaired(data: ConfigDict) -> OpenedDomains:
    """Returns the pictures of trainA, trainB, testA and testB, resized like those of pairs.

    Without testA and testB, a share of each domain is held out.

    Raises:
        UserError: a folder is missing or has no usable picture, or only one test folder exists.
    """
    root = existing_folder(KEY, data.root)
    tests = [name for name in ("testA", "testB") if (root / name).is_dir()]
    if len(tests) == 1:
        raise UserError(f"{KEY}={root}: has only {tests[0]}; give both testA and testB, or none")
    for name in ("trainA", "trainB"):
        if not (root / name).is_dir():
            raise UserError(f"{KEY}={root}: has no folder {name}; give trainA and trainB")
    problems: list[Problem] = []
    domains = []
    for domain in (A, B):
        folder = root / f"train{domain}"
        found = read_folder(folder, data.size, data.channels)
        problems += found.problems
        if tests:
            test = read_folder(root / f"test{domain}", data.size, data.channels)
            problems += test.problems
            domains.append((found.values, test.values))
        else:
            alike = [""] * len(found.names)
            held = hold_out(folder, found.names, alike, data.valid_share, data.seed)
            domains.append((found.values[~held], found.values[held]))
    (train_a, valid_a), (train_b, valid_b) = domains
    return OpenedDomains(
        Domains(train_a, train_b, False), Domains(valid_a, valid_b, False), tuple(problems)
    )


Pairs = tuple[list[str], np.ndarray, np.ndarray, list[Problem]]
"""The names of n pairs, A and B uint8 [n, size, size, channels], and the files that cannot be
used."""


def _two_folders(root: Path, size: int, channels: int) -> Pairs:
    problems: list[Problem] = []
    files = [_by_name(root / side, problems) for side in (A, B)]
    for one, other, side in ((files[0], files[1], B), (files[1], files[0], A)):
        problems += [
            Problem(str(one[name]), f"has no partner of this name in {root / side}")
            for name in sorted(one.keys() - other.keys())
        ]
    names = []
    for name in sorted(files[0].keys() & files[1].keys()):
        paths = [one[name] for one in files]
        try:
            sizes = [pictures.dimensions(path) for path in paths]
        except pictures.BadImageError:
            names.append(name)  # reading it shows which of the two is damaged
            continue
        if sizes[0] == sizes[1]:
            names.append(name)
        else:
            (width, height), (other_width, other_height) = sizes
            reason = f"is {width}x{height}, and its partner is {other_width}x{other_height}"
            problems.append(Problem(str(paths[0]), reason))
    if not names:
        return [], np.empty(0, np.uint8), np.empty(0, np.uint8), problems
    usable = np.ones(len(names), bool)
    whole = []
    for one, side in zip(files, (A, B), strict=True):
        relative = [str(one[name].relative_to(root / side)) for name in names]
        decoded = load(root / side, relative, size, channels)
        good = np.array([not reason for reason in decoded.reasons])
        problems += [
            Problem(str(one[name]), reason)
            for name, reason in zip(names, decoded.reasons, strict=True)
            if reason
        ]
        whole.append((good, decoded.values))
        usable &= good
    # The values are those of usable files only; a file whose partner is damaged is left out, too.
    a, b = (values[usable[good]] for good, values in whole)
    return [name for name, good in zip(names, usable, strict=True) if good], a, b, problems


def _side_by_side(root: Path, size: int, channels: int) -> Pairs:
    files = find(root, pictures.SUFFIXES)
    if not files:
        return [], np.empty(0, np.uint8), np.empty(0, np.uint8), []
    decoded = load(root, files, size, channels, side_by_side=True)
    found = list(zip(files, decoded.reasons, strict=True))
    problems = [Problem(str(root / name), reason) for name, reason in found if reason]
    names = [name for name, reason in found if not reason]
    return names, decoded.values[..., :channels], decoded.values[..., channels:], problems


def _by_name(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Returns the pictures of a folder by their relative path without its suffix."""
    found: dict[str, Path] = {}
    for file in find(folder, pictures.SUFFIXES):
        name = file.rpartition(".")[0]
        if name in found:
            reason = f"has the name of {found[name].name} except for the suffix"
            problems.append(Problem(str(folder / file), reason))
        else:
            found[name] = folder / file
    return found


def _divide(
    root: Path, names: Sequence[str], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of the training and of the validation set, int [n] and int [m]."""
    part = np.array([name.partition("/")[0] if "/" in name else "" for name in names])
    valid_name = next((name for name in VALID if (part == name).any()), None)
    if valid_name and (part == TRAIN).any():
        return np.flatnonzero(part == TRAIN), np.flatnonzero(part == valid_name)
    held = hold_out(root, names, [""] * len(names), share, seed)
    return np.flatnonzero(~held), np.flatnonzero(held)
