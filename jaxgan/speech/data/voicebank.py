"""VoiceBank-DEMAND as published, and its download.

    python -m jaxgan.speech.data.voicebank DIR

downloads, verifies and unpacks it into DIR: about 5 GB to load, 7 GB in the end and 12 GB in
between. The same command goes on where it was interrupted. Then train with
--config.data.kind=voicebank --config.data.root=DIR and evaluate with --data=DIR.

Valentini-Botinhao, "Noisy speech database for training speech enhancement algorithms and TTS
models", University of Edinburgh, 2017, doi:10.7488/ds/2117, CC BY 4.0.
"""

import argparse
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from ml_collections import ConfigDict
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jaxgan.core.download import fetch
from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio
from jaxgan.speech.data.checks import Problem, fault
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.folders import existing, require
from jaxgan.speech.data.pairs import VOICEBANK_TEST, VOICEBANK_TRAIN, read_sides, sides_in

BASE_URL = "https://datashare.ed.ac.uk/bitstream/handle/10283/2791"
PUBLISHED = {
    **dict.fromkeys(VOICEBANK_TRAIN, 11572),
    **dict.fromkeys(VOICEBANK_TEST, 824),
}
"""Folders, each published as a zip file of this name, and how many wav files they hold."""


def open_voicebank(data: ConfigDict) -> tuple[PairCorpus, PairCorpus, tuple[Problem, ...]]:
    """The training set without, and for validation with, the speakers `data.valid_speakers`.

    The test set is never read here. A file's speaker is its name up to the first "_".
    """
    key = "config.data.root"
    place = existing(key, data.root)
    both = sides_in(place, [VOICEBANK_TRAIN])
    if both is None:
        raise UserError(
            f"{key}={place}: needs the folders {' and '.join(VOICEBANK_TRAIN)}; "
            f"python -m jaxgan.speech.data.voicebank {place} downloads them"
        )
    pairs = read_sides(*both, lambda wave: fault(wave, data.longest_seconds))
    require(key, place, pairs.names, pairs.problems)
    speakers = np.array([PurePosixPath(name).name.split("_")[0] for name in pairs.names])
    for speaker in data.valid_speakers:
        if speaker not in speakers:
            raise UserError(
                f"config.data.valid_speakers: {place} has no usable file of speaker {speaker!r}"
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


def download(place: Path, base_url: str, keep_zips: bool, progress: Progress) -> None:
    """Downloads, verifies and unpacks what is not yet there.

    Args:
        place: gets one folder for each entry of PUBLISHED.
        base_url: the zip files lie directly under it.
        keep_zips: leave the zip files where they are.
        progress: shows one bar for each file.

    Raises:
        UserError: see `download.fetch`; a zip file that is damaged (it is deleted, so that the
            same command loads it again); a folder with another number of files than published.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{place} cannot be made: {error.strerror}") from error
    for name, count in PUBLISHED.items():
        archive = place / f"{name}.zip"
        if not (place / name).is_dir():
            if not archive.exists():
                fetch(f"{base_url.rstrip('/')}/{archive.name}", archive, progress)
            unpack(archive, place / name)
        found = len(audio.find(place / name))
        if found != count:
            raise UserError(
                f"{place / name} holds {found} audio files where {count} were published: "
                "delete the folder and run this again"
            )
        if not keep_zips:
            archive.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the wav files of an archive into one flat folder, which appears when complete.

    Every file's CRC is checked on the way.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _extract(archive, partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise UserError(
            f"{archive} was damaged ({error}) and has been deleted: run this again to load it anew"
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
            # The bare name: whatever folders an archive names, nothing lands elsewhere.
            with source.open(member) as packed, (folder / path.name).open("wb") as file:
                shutil.copyfileobj(packed, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Downloads VoiceBank-DEMAND."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan.speech.data.voicebank",
        description="Downloads, verifies and unpacks VoiceBank-DEMAND; goes on where it stopped.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--base-url", default=BASE_URL, help="another place with the same zips")
    parser.add_argument("--keep-zips", action="store_true", help="do not delete the zip files")
    options = parser.parse_args(arguments)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns) as progress:
            download(options.folder, options.base_url, options.keep_zips, progress)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"VoiceBank-DEMAND is in {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
