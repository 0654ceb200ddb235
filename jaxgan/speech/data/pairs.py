"""Reads folders of clean and noisy files, which are paired by name."""

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem, existing_folder
from jaxgan.core.errors import UserError
from jaxgan.core.text_files import read_text
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.checks import PAIR_SKIPPED, TRIMMED, reason_unusable
from jaxgan.speech.data.corpus import Conditions, PairCorpus
from jaxgan.speech.data.folders import hold_out, normal, require_usable, stems
from jaxgan.speech.data.waves import Decoded, Waves, join, load

SIDES = ("clean", "noisy")
VOICEBANK_TRAIN = ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav")
VOICEBANK_TEST = ("clean_testset_wav", "noisy_testset_wav")
TEST_SIDES = (SIDES, VOICEBANK_TEST)
"""The pairs of folders, one of which a test set has."""
CONDITIONS = "conditions.csv"
"""The file in which `read_pairs` looks for the conditions of its pairs."""
TOLERANCE_SECONDS = 0.001
"""The sides of a pair may differ by this much in length, since resampling rounds it; both are then
trimmed to the shorter length. Pairs that differ more may be misaligned and are skipped."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of two folders.

    Attributes:
        names: the name of each pair: its path without suffix, with "/" between folders.
        clean: the clean sides.
        noisy: the noisy sides, of the same lengths.
        problems: every file that cannot be used as it is.
    """

    names: tuple[str, ...]
    clean: Waves
    noisy: Waves
    problems: tuple[Problem, ...]

    def corpus(self) -> PairCorpus:
        """Returns the pairs as a corpus without bucket lengths."""
        return PairCorpus(self.names, self.clean, self.noisy)


def read_sides(
    clean: Path,
    noisy: Path,
    check: Callable[[np.ndarray], str],
    longest_seconds: float = math.inf,
) -> Pairs:
    """Reads two folders and pairs their files by name. Suffixes may differ.

    Args:
        clean: a folder of clean files, at any depth.
        noisy: a folder of noisy files in the same sub-folders.
        check: takes the samples of either side, int16 [n] at 16000 Hz, and returns why they cannot
            be used, or "" if they can.
        longest_seconds: longer files are not decoded.
    """
    folders = (clean, noisy)
    matches, problems = _match(clean, noisy)
    if not matches:
        return Pairs((), join([]), join([]), tuple(problems))
    names = sorted(matches)
    files = [[matches[name][side] for name in names] for side in range(2)]
    both = [load(folder, own, longest_seconds) for folder, own in zip(folders, files, strict=True)]
    paths = [(str(clean / one), str(noisy / other)) for one, other in zip(*files, strict=True)]
    return check_pairs(names, paths, both, check, problems)


def check_pairs(
    names: Sequence[str],
    paths: Sequence[tuple[str, str]],
    both: Sequence[Decoded],
    check: Callable[[np.ndarray], str],
    problems: Sequence[Problem],
) -> Pairs:
    """Returns the usable ones of decoded pairs.

    Args:
        names: the name of each pair.
        paths: the clean and the noisy file of each, for the problems.
        both: the clean and the noisy sides.
        check: see `read_sides`.
        problems: those found before.
    """
    usable, all_problems = [], list(problems)
    for index in range(len(names)):
        reasons = [side.reasons[index] or check(side.waves[index]) for side in both]
        found = [
            Problem(path, reason, PAIR_SKIPPED)
            for path, reason in zip(paths[index], reasons, strict=True)
            if reason
        ]
        if not found:
            found = _unequal(paths[index], [int(side.waves.lengths[index]) for side in both])
        if not found or found[0].action == TRIMMED:
            usable.append(index)
        all_problems += found
    lengths = np.minimum(both[0].waves.lengths, both[1].waves.lengths)
    return Pairs(
        names=tuple(names[index] for index in usable),
        clean=both[0].waves.truncate(lengths).select(usable),
        noisy=both[1].waves.truncate(lengths).select(usable),
        problems=tuple(all_problems),
    )


def _match(clean: Path, noisy: Path) -> tuple[dict[str, tuple[str, str]], list[Problem]]:
    """Returns the files of two folders that form pairs, and the others as problems.

    Equal paths form pairs first, then paths that only differ in their suffix. Composed and
    decomposed forms of a character are the same.

    Returns:
        (the (clean, noisy) paths of every pair by its name, which is its path without suffix
        unless two pairs would have the same; the problems).
    """
    folders = (clean, noisy)
    left: list[dict[str, str]] = [{}, {}]
    problems = []
    for folder, side in zip(folders, left, strict=True):
        for file in audio.find(folder):
            same = side.setdefault(normal(file), file)
            if same != file:
                reason = "has a name that only differs from another in its Unicode form"
                problems.append(Problem(str(folder / file), reason))
    paths = {path: (left[0].pop(path), left[1].pop(path)) for path in left[0].keys() & left[1]}
    alone = [_single_stems(list(side)) for side in left]
    for stem in alone[0].keys() & alone[1]:
        path = alone[0][stem]
        paths[path] = left[0].pop(path), left[1].pop(alone[1][stem])
    problems += [
        Problem(str(folder / file), f"has no counterpart in {other}")
        for folder, other, side in zip(folders, folders[::-1], left, strict=True)
        for file in side.values()
    ]
    return dict(zip(stems(list(paths)), paths.values(), strict=True)), problems


def _single_stems(files: Sequence[str]) -> dict[str, str]:
    """Returns the files that no other file equals but for its suffix, by their stems."""
    return {stem: file for stem, file in zip(stems(files), files, strict=True) if stem != file}


def _unequal(paths: Sequence[str], lengths: Sequence[int]) -> list[Problem]:
    if lengths[0] == lengths[1]:
        return []
    near = abs(lengths[0] - lengths[1]) <= TOLERANCE_SECONDS * SAMPLE_RATE
    reason = f"has {lengths[1]} samples at 16000 Hz where {paths[0]} has {lengths[0]}"
    return [Problem(paths[1], reason, TRIMMED if near else PAIR_SKIPPED)]


def sides_in(folder: Path, choices: Sequence[tuple[str, str]]) -> tuple[Path, Path] | None:
    """Returns the first of these pairs of sub-folders that a folder contains, or None."""
    for clean, noisy in choices:
        if (folder / clean).is_dir() and (folder / noisy).is_dir():
            return folder / clean, folder / noisy
    return None


def open_pairs(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Opens the training and validation pairs under `data.root`.

    The folder contains `train/clean`, `train/noisy`, `valid/clean` and `valid/noisy`, or only
    `clean` and `noisy` (or the folders of VoiceBank-DEMAND's training set). In the second case
    `hold_out` takes the share `data.valid_share` of the pairs for validation.

    Returns:
        The training set, the validation set (both without bucket lengths), and the problems.

    Raises:
        UserError: a folder does not exist, or a set has no usable pair.
    """
    key = "config.data.root"
    root = existing_folder(key, data.root)
    parts = [sides_in(root / part, [SIDES]) for part in ("train", "valid")]

    def check(wave: np.ndarray) -> str:
        return reason_unusable(wave, data.longest_seconds)

    if parts[0] and parts[1]:
        sets = [read_sides(*part, check, data.longest_seconds) for part in parts if part]
        for name, found in zip(("train", "valid"), sets, strict=True):
            require_usable(key, root / name, found.names, found.problems)
        return sets[0].corpus(), sets[1].corpus(), sets[0].problems + sets[1].problems
    both = sides_in(root, [SIDES, VOICEBANK_TRAIN])
    if both is None:
        raise UserError(
            f"{key}={root}: needs the folders clean and noisy, "
            "or train/clean, train/noisy, valid/clean and valid/noisy"
        )
    whole = read_sides(*both, check, data.longest_seconds)
    require_usable(key, root, whole.names, whole.problems)
    held = hold_out(key, root, whole.names, data)
    corpus = whole.corpus()
    train, valid = corpus.select(np.flatnonzero(~held)), corpus.select(np.flatnonzero(held))
    return train, valid, whole.problems


def read_pairs(folder: str | os.PathLike[str]) -> tuple[PairCorpus, tuple[Problem, ...]]:
    """Reads a test set.

    Only files that cannot be decoded or paired are skipped. Short and silent ones are kept; scores
    are NaN where they are not defined.

    Args:
        folder: contains `clean` and `noisy`, or the folders of VoiceBank-DEMAND's test set; it may
            also contain a table conditions.csv (see `read_conditions`).

    Returns:
        The pairs, without bucket lengths, and the problems.

    Raises:
        UserError: the folder or the folders in it do not exist, no pair can be read, or
            `read_conditions` rejects the table.
    """
    root = existing_folder("--data", folder)
    both = sides_in(root, TEST_SIDES)
    if both is None:
        raise UserError(
            f"--data={root}: needs the folders clean and noisy, or {' and '.join(VOICEBANK_TEST)}"
        )
    pairs = read_sides(*both, lambda wave: "")
    require_usable("--data", root, pairs.names, pairs.problems)
    conditions = read_conditions(root / CONDITIONS, pairs.names)
    return replace(pairs.corpus(), conditions=conditions), pairs.problems


def read_conditions(path: Path, names: Sequence[str]) -> Conditions:
    """Reads the conditions of pairs from a table. Without a table there are none.

    Args:
        path: a CSV file with a column `name` of pair names and any others, e.g. `snr` or `noise`.
        names: the names of the pairs, in order.

    Raises:
        UserError: the table cannot be read as text, has no column `name`, or no row for one of the
            pairs.
    """
    if not path.exists():
        return {}
    text = read_text(path, "", "a table with a column 'name'")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        columns = [column for column in reader.fieldnames or () if column != "name"]
        if "name" not in (reader.fieldnames or ()):
            raise UserError(f"{path}: its first line has no column 'name'")
        rows = {normal(row["name"] or ""): row for row in reader}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error
    missing = [name for name in names if normal(name) not in rows]
    if missing:
        raise UserError(f"{path}: has no row for {missing[0]!r}; add one, or remove the file")
    return {column: tuple(rows[normal(name)][column] or "" for name in names) for column in columns}


def write_conditions(corpus: PairCorpus, folder: Path) -> None:
    """Writes the conditions of a corpus to the file in which `read_pairs` looks for them."""
    with (folder / CONDITIONS).open(
        "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["name", *corpus.conditions])
        writer.writerows(zip(corpus.names, *corpus.conditions.values(), strict=True))
