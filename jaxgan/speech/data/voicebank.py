"""Opens VoiceBank-DEMAND as published, and downloads it.

    python -m jaxgan.speech.data.voicebank DIR

downloads, verifies and unpacks it into DIR: about 5 GB to download, up to 12 GB of disk space in
between and 7 GB in the end. The same command continues an interrupted download. Then train with
--config.data.kind=voicebank --config.data.root=DIR and evaluate with --data=DIR.

Valentini-Botinhao, "Noisy speech database for training speech enhancement algorithms and TTS
models", University of Edinburgh, 2017, doi:10.7488/ds/2117, CC BY 4.0.
"""

from jaxgan.core import signals

INTERRUPTED = "interrupted; the same command continues from here"
if __name__ == "__main__":
    signals.leave_at_once(INTERRUPTED)

import argparse
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from ml_collections import ConfigDict
from rich.progress import Progress

from jaxgan.core import command
from jaxgan.core.data_files import Problem, existing_folder
from jaxgan.core.download import fetch, progress_bars
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.checks import reason_unusable
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.folders import require_usable
from jaxgan.speech.data.pairs import VOICEBANK_TEST, VOICEBANK_TRAIN, read_sides, sides_in

BASE_URL = "https://datashare.ed.ac.uk/bitstream/handle/10283/2791"
PUBLISHED = {
    **dict.fromkeys(VOICEBANK_TRAIN, 11572),
    **dict.fromkeys(VOICEBANK_TEST, 824),
}
"""The folders, each published as a zip file of that name, and their numbers of wav files."""


def open_voicebank(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """Opens the published training set; the speakers `data.valid_speakers` are for validation.

    A file's speaker is its name up to the first "_". The published test set is not read.

    Returns:
        The training set, the validation set (both without bucket lengths), and the problems.

    Raises:
        UserError: a folder does not exist, a validation speaker has no usable file, or no speaker
            is left for one of the sets.
    """
    key = "config.data.root"
    root = existing_folder(key, data.root)
    both = sides_in(root, [VOICEBANK_TRAIN])
    if both is None:
        raise UserError(
            f"{key}={root}: needs the folders {' and '.join(VOICEBANK_TRAIN)}; "
            f"python -m jaxgan.speech.data.voicebank {root} downloads them"
        )
    longest = data.longest_seconds
    pairs = read_sides(*both, lambda wave: reason_unusable(wave, longest), longest)
    require_usable(key, root, pairs.names, pairs.problems)
    speakers = np.array([PurePosixPath(name).name.split("_")[0] for name in pairs.names])
    for speaker in data.valid_speakers:
        if speaker not in speakers:
            raise UserError(
                f"config.data.valid_speakers: {root} has no usable file of speaker {speaker!r}"
            )
    held = np.isin(speakers, list(data.valid_speakers))
    if held.all() or not held.any():
        raise UserError(
            f"config.data.valid_speakers={tuple(data.valid_speakers)} must leave speakers for "
            "both training and validation"
        )
    corpus = pairs.corpus()
    train, valid = corpus.select(np.flatnonzero(~held)), corpus.select(np.flatnonzero(held))
    return train, valid, pairs.problems


def download(root: Path, base_url: str, keep_zips: bool, progress: Progress) -> None:
    """Downloads, verifies and unpacks the folders that do not exist yet.

    Args:
        root: the folder to create the folders of `PUBLISHED` in.
        base_url: the URL of the folder with the zip files.
        keep_zips: whether to keep the zip files.
        progress: shows one bar per file.

    Raises:
        UserError: a download fails (see `download.fetch`), a zip file is damaged (it is deleted, so
            that the same command downloads it again), a folder has a different number of files than
            published, or the disk cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root} cannot be created: {error.strerror}") from error
    for name, count in PUBLISHED.items():
        archive = root / f"{name}.zip"
        if not (root / name).is_dir():
            if not archive.exists():
                fetch(f"{base_url.rstrip('/')}/{archive.name}", archive, progress)
            unpack(archive, root / name)
        found = len(audio.find(root / name))
        if found != count:
            raise UserError(
                f"{root / name} contains {found} audio files where {count} were published: "
                "delete the folder and run the same command again"
            )
        if not keep_zips:
            archive.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the wav files of a zip file into one flat folder, which appears once it is complete.

    The CRC of every file is checked.

    Raises:
        UserError: the zip file is damaged (it is deleted), or the folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _extract(archive, partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise UserError(
            f"{archive} was damaged ({error}) and has been deleted: run the same command again"
        ) from error
    except OSError as error:
        raise UserError(f"{folder} cannot be unpacked: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            path = PurePosixPath(member.filename)
            if path.suffix.lower() != ".wav" or "__MACOSX" in path.parts:
                continue
            # Without its folders, so that no name in the zip file points outside of `folder`.
            with source.open(member) as packed, (folder / path.name).open("wb") as file:
                shutil.copyfileobj(packed, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Downloads VoiceBank-DEMAND and returns 0, 2 after a user error, or 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan.speech.data.voicebank",
        description="Downloads, verifies and unpacks VoiceBank-DEMAND; resumes if interrupted.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--base-url", default=BASE_URL, help="another URL with the same zip files")
    parser.add_argument("--keep-zips", action="store_true", help="do not delete the zip files")
    options = parser.parse_args(arguments)

    def action() -> None:
        with progress_bars() as progress:
            download(options.folder, options.base_url, options.keep_zips, progress)
        print(f"VoiceBank-DEMAND is in {options.folder}")

    return command.run(action, INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
