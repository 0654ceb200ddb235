"""Folders of clean and of noisy files, paired by name."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.checks import CUT, WITH_PARTNER, Problem, fault
from jaxgan.speech.data.corpus import Conditions, PairCorpus
from jaxgan.speech.data.folders import existing, hold_out, require, stems
from jaxgan.speech.data.waves import Waves, join, load

SIDES = ("clean", "noisy")
VOICEBANK_TRAIN = ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav")
VOICEBANK_TEST = ("clean_testset_wav", "noisy_testset_wav")
CONDITIONS = "conditions.csv"
TOLERANCE_SECONDS = 0.001
"""Two sides may differ so much in length (rounding when files were resampled); both are then cut
to the shorter one. Beyond it they are not known to be aligned and the pair is left out."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of two folders.

    Attributes:
        names: the files' names without suffix, "/" between folders.
        clean: the clean sides.
        noisy: the noisy sides, of the same lengths.
        problems: every file that is not used as it is.
    """

    names: tuple[str, ...]
    clean: Waves
    noisy: Waves
    problems: tuple[Problem, ...]

    def corpus(self) -> PairCorpus:
        """The pairs as a corpus, bucket lengths not chosen."""
        return PairCorpus(self.names, self.clean, self.noisy)


def read_sides(clean: Path, noisy: Path, fault_of: Callable[[np.ndarray], str]) -> Pairs:
    """Reads two folders and pairs their files by name; suffixes may differ.

    Args:
        clean: folder of clean files, at any depth.
        noisy: folder of noisy files in the same sub-folders.
        fault_of: int16 [n] -> why these samples are of no use, or ""; asked for both sides.
    """
    folders = (clean, noisy)
    files = [dict(zip(stems(found), found, strict=True)) for found in map(audio.find, folders)]
    problems = [
        Problem(str(folder / own[name]), f"has no counterpart in {other_folder}")
        for folder, own, other, other_folder in (
            (clean, files[0], files[1], noisy),
            (noisy, files[1], files[0], clean),
        )
        for name in own
        if name not in other
    ]
    names = sorted(files[0].keys() & files[1].keys())
    if not names:
        return Pairs((), join([]), join([]), tuple(problems))
    both = [
        load(folder, [own[name] for name in names])
        for folder, own in zip(folders, files, strict=True)
    ]
    good = []
    for number, name in enumerate(names):
        paths = [str(folder / own[name]) for folder, own in zip(folders, files, strict=True)]
        whats = [side.reasons[number] or fault_of(side.waves[number]) for side in both]
        found = [
            Problem(path, what, WITH_PARTNER)
            for path, what in zip(paths, whats, strict=True)
            if what
        ]
        if not found:
            found = _unequal(paths, [int(side.waves.lengths[number]) for side in both])
        if not found or found[0].action == CUT:
            good.append(number)
        problems += found
    lengths = np.minimum(both[0].waves.lengths, both[1].waves.lengths)
    return Pairs(
        names=tuple(names[number] for number in good),
        clean=both[0].waves.cut(lengths).select(good),
        noisy=both[1].waves.cut(lengths).select(good),
        problems=tuple(problems),
    )


def _unequal(paths: Sequence[str], lengths: Sequence[int]) -> list[Problem]:
    if lengths[0] == lengths[1]:
        return []
    near = abs(lengths[0] - lengths[1]) <= TOLERANCE_SECONDS * SAMPLE_RATE
    what = f"has {lengths[1]} samples at 16000 Hz where {paths[0]} has {lengths[0]}"
    return [Problem(paths[1], what, CUT if near else WITH_PARTNER)]


def sides_in(place: Path, choices: Sequence[tuple[str, str]]) -> tuple[Path, Path] | None:
    """The first of these pairs of folders that a folder holds."""
    for clean, noisy in choices:
        if (place / clean).is_dir() and (place / noisy).is_dir():
            return place / clean, place / noisy
    return None


def open_pairs(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Training and validation pairs under `data.root`.

    They are in `train/clean`, `train/noisy`, `valid/clean` and `valid/noisy`; or in `clean` and
    `noisy` (or VoiceBank-DEMAND's names for its training set) alone, from which `hold_out` takes
    `data.valid_share` of the pairs for validation.
    """
    key = "config.data.root"
    place = existing(key, data.root)
    parts = [sides_in(place / part, [SIDES]) for part in ("train", "valid")]

    def fault_of(wave: np.ndarray) -> str:
        return fault(wave, data.longest_seconds)

    if parts[0] and parts[1]:
        sets = [read_sides(*part, fault_of) for part in parts if part]
        for name, found in zip(("train", "valid"), sets, strict=True):
            require(key, place / name, found.names, found.problems)
        return sets[0].corpus(), sets[1].corpus(), sets[0].problems + sets[1].problems
    both = sides_in(place, [SIDES, VOICEBANK_TRAIN])
    if both is None:
        raise UserError(
            f"{key}={place}: needs the folders clean and noisy, "
            "or train/clean, train/noisy, valid/clean and valid/noisy"
        )
    whole = read_sides(*both, fault_of)
    require(key, place, whole.names, whole.problems)
    held = hold_out(key, place, whole.names, data)
    corpus = whole.corpus()
    train, valid = corpus.select(np.flatnonzero(~held)), corpus.select(np.flatnonzero(held))
    return train, valid, whole.problems


def read_pairs(folder: str | os.PathLike[str]) -> tuple[PairCorpus, tuple[Problem, ...]]:
    """A test set at its files' own lengths.

    Only what cannot be decoded or paired is left out; what is short or silent stays, for a
    score to say that it has none for it.

    Args:
        folder: holds `clean` and `noisy`, or VoiceBank-DEMAND's names for its test set; and, where
            more is known of the pairs, a table conditions.csv (see `read_conditions`).

    Returns:
        (the pairs, every file that is not used as it is).

    Raises:
        UserError: no such folder, no such folders in it, or no pair that can be read.
    """
    place = existing("--data", folder)
    both = sides_in(place, [SIDES, VOICEBANK_TEST])
    if both is None:
        raise UserError(
            f"--data={place}: needs the folders clean and noisy, or {' and '.join(VOICEBANK_TEST)}"
        )
    pairs = read_sides(*both, lambda wave: "")
    require("--data", place, pairs.names, pairs.problems)
    conditions = read_conditions(place / CONDITIONS, pairs.names)
    return replace(pairs.corpus(), conditions=conditions), pairs.problems


def read_conditions(path: Path, names: Sequence[str]) -> Conditions:
    """What a table says of pairs: nothing where there is no table.

    Args:
        path: a CSV file with a column `name`, as the pairs' names, and others: snr, noise, ...
        names: of the pairs, in order.

    Raises:
        UserError: the table has no column `name`, or a pair is missing in it.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = [column for column in reader.fieldnames or () if column != "name"]
        if "name" not in (reader.fieldnames or ()):
            raise UserError(f"{path}: its first line names no column 'name'")
        rows = {row["name"]: row for row in reader}
    missing = [name for name in names if name not in rows]
    if missing:
        raise UserError(f"{path}: has no row of {missing[0]!r}; add one, or remove the file")
    return {column: tuple(rows[name][column] or "" for name in names) for column in columns}


def write_conditions(corpus: PairCorpus, place: Path) -> None:
    """Writes what is known of a corpus' pairs where `read_pairs` finds it."""
    with (place / CONDITIONS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *corpus.conditions])
        writer.writerows(zip(corpus.names, *corpus.conditions.values(), strict=True))
