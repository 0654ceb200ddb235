"""Reads the scenes of the Audio-Visual Speech Enhancement Challenge (AVSEC).

The challenge's scripts (github.com/cogmhear/avse_challenge) write `train/scenes` and `dev/scenes`,
with files of these names for a scene such as S00001:

    S00001_mono_mix.wav               the mixture of the monaural track, the mean of both ears
    S00001_mix.wav                    the binaural mixture
    S00001_target_mono_anechoic.wav   the target talker without reverberation, mean of both ears
    S00001_target_anechoic.wav        the same for two ears
    S00001_silent.mp4                 the face of the target talker, from LRS3
    S00001_mixed.wav, S00001_target.wav    mixture and target of the first three challenges

This reads what the single-channel baseline of AVSEC-4 reads: the monaural mixture and the anechoic
target, whose channels are averaged. Where one of them was not rendered, the file of two ears or of
an earlier challenge takes its place. Other files, such as the interferers, are not read.

The challenge scales mixtures and anechoic targets separately, so their levels differ: a loss that
depends on the level, unlike the SI-SDR, would learn this difference.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import Problem, existing_folder
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, video_files
from jaxgan.speech.data.checks import reason_unusable
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.folders import require_usable
from jaxgan.speech.data.pairs import Pairs, check_pairs
from jaxgan.speech.data.videos import Crop, count_frames, crop_of, videos_of_scenes
from jaxgan.speech.data.waves import join, load

SCENES = "scenes"
TARGETS = ("target_mono_anechoic", "target_anechoic", "target")
MIXTURES = ("mono_mix", "mix", "mixed")
"""What may follow the name of a scene, in the order of preference."""
VIDEO = f"_silent{video_files.SUFFIX}"
SCENE_SKIPPED = "its scene is skipped"
_SIDES = (TARGETS, MIXTURES)
_FILE = re.compile(rf"([^/]+?)_({'|'.join((*TARGETS, *MIXTURES))})\.wav", re.IGNORECASE)


def scenes_in(folder: Path) -> Path | None:
    """Returns the folder itself or its sub-folder "scenes", whichever has mixtures, or None."""
    for place in (folder / SCENES, folder):
        names = audio.find(place) if place.is_dir() else []
        found = [_FILE.fullmatch(name) for name in names]
        if any(match and match[2].lower() in MIXTURES for match in found):
            return place
    return None


def video_of(mixture: str) -> str:
    """Returns the name of a mixture's video, or "" if the file is not a mixture of a scene."""
    match = _FILE.fullmatch(mixture)
    return f"{match[1]}{VIDEO}" if match and match[2].lower() in MIXTURES else ""


def find(folder: Path) -> tuple[list[str], list[tuple[str, str]], list[Problem]]:
    """Returns the names of the scenes, the files of target and mixture of each, and the problems.

    A scene with only one of the two files is a problem.
    """
    kinds: dict[str, dict[str, str]] = {}
    for name in audio.find(folder):
        if match := _FILE.fullmatch(name):
            kinds.setdefault(match[1], {})[match[2].lower()] = name
    scenes, files, problems = [], [], []
    for scene, found in sorted(kinds.items()):
        sides = [next((found[kind] for kind in side if kind in found), "") for side in _SIDES]
        if all(sides):
            scenes.append(scene)
            files.append((sides[0], sides[1]))
        else:
            lacking = next(side for side, file in zip(_SIDES, sides, strict=True) if not file)
            named = " or ".join(f"{scene}_{kind}.wav" for kind in lacking)
            path = folder / (sides[0] or sides[1])
            problems.append(Problem(str(path), f"its scene has no {named}"))
    return scenes, files, problems


def read_scenes(
    folder: Path,
    crop: Crop | None,
    check: Callable[[np.ndarray], str] = lambda wave: "",
    longest_seconds: float = np.inf,
) -> tuple[PairCorpus, tuple[Problem, ...]]:
    """Reads the scenes of a folder.

    Args:
        folder: holds the files.
        crop: the mouth; None: no video is read.
        check: see `pairs.read_sides`.
        longest_seconds: longer files are not decoded.

    Returns:
        The scenes whose target, mixture and video can be used, without bucket lengths, and the
        problems. A video may be shorter than its scene.

    Raises:
        UserError: videos are read, but PyAV is not installed.
    """
    if crop is not None:
        video_files.require_av()
    scenes, files, problems = find(folder)
    if not scenes:
        return PairCorpus((), join([]), join([])), tuple(problems)
    # Both sides at once, since a folder has only one entry in the cache.
    names = [file for side in zip(*files, strict=True) for file in side]
    decoded = load(folder, names, longest_seconds)
    count = len(scenes)
    both = [decoded.select(range(count)), decoded.select(range(count, 2 * count))]
    paths = [(str(folder / target), str(folder / mixture)) for target, mixture in files]
    pairs = check_pairs(scenes, paths, both, check, problems)
    if crop is None or not pairs.names:
        return pairs.corpus(), pairs.problems
    return _with_videos(folder, pairs, crop)


def _with_videos(folder: Path, pairs: Pairs, crop: Crop) -> tuple[PairCorpus, tuple[Problem, ...]]:
    """Returns the pairs whose videos can be used, and all problems."""
    names = [f"{name}{VIDEO}" for name in pairs.names]
    mouths = video_files.load(folder, names, count_frames(pairs.clean.lengths), crop)
    problems = [
        Problem(str(folder / name), reason, action if count else SCENE_SKIPPED)
        for name, reason, action, count in zip(
            names, mouths.reasons, mouths.actions, mouths.counts, strict=True
        )
        if reason
    ]
    usable = np.flatnonzero(mouths.counts)
    videos = videos_of_scenes(mouths.frames, mouths.counts[usable])
    corpus = replace(pairs.corpus().select(usable), videos=videos)
    return corpus, (*pairs.problems, *problems)


def open_avsec(config: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Opens the scenes for training and for validation under `config.data.root`.

    They are those of the folders `train` and `dev`, or of `scenes` in these. Videos are only read
    for a network that sees them, so that any other can train on AVSEC without PyAV.

    Returns:
        The training set, the validation set (both without bucket lengths), and the problems.

    Raises:
        UserError: a folder does not exist, a set has no usable scene, or PyAV is not installed.
    """
    key, data, crop = "config.data.root", config.data, crop_of(config)
    root = existing_folder(key, data.root)
    parts = [scenes_in(root / part) for part in ("train", "dev")]
    if not all(parts):
        raise UserError(
            f"{key}={root}: needs train/{SCENES} and dev/{SCENES}, with a mixture such as "
            f"S00001_{MIXTURES[0]}.wav in each"
        )
    sets: list[PairCorpus] = []
    problems: list[Problem] = []
    for part in parts:
        assert part is not None
        corpus, found = read_scenes(
            part,
            crop,
            lambda wave: reason_unusable(wave, data.longest_seconds),
            data.longest_seconds,
        )
        require_usable(key, part, corpus.names, found)
        sets.append(corpus)
        problems += found
    return sets[0], sets[1], tuple(problems)


def read_test_scenes(folder: Path, crop: Crop | None) -> tuple[PairCorpus, tuple[Problem, ...]]:
    """Reads a test set; only scenes whose files cannot be read are skipped.

    Raises:
        UserError: no scene can be read, or PyAV is not installed.
    """
    corpus, problems = read_scenes(folder, crop)
    require_usable("--data", folder, corpus.names, problems)
    return corpus, problems
