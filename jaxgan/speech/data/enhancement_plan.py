"""Plans the enhancement of files before any is written: what to read, and how to write it."""

import functools
import io
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio

PROBE_SAMPLES = 1000
"""Samples that `can_hold` writes to try an encoding out."""


@dataclass(frozen=True)
class Encoding:
    """How a file encodes its samples.

    Attributes:
        format: soundfile's name of the file format, e.g. "WAV".
        subtype: soundfile's name of the sample format, e.g. "PCM_16".
        endian: soundfile's name of the byte order, e.g. "FILE".
        rate: Hz.
        channels: the number of channels.
    """

    format: str
    subtype: str
    endian: str
    rate: int
    channels: int


@dataclass(eq=False)
class FileJob:
    """A file to enhance, and the result of doing so.

    Attributes:
        source: the file to read.
        target: the file to write.
        encoding: the encoding of the target; it has the rate and channels of the source.
        seconds: the duration according to the source's header.
        frames: the number of samples per channel read so far.
        non_finite: the number of NaN or infinite samples, which were replaced by 0.
        failure: why the source could not be read to its end, or "".
        video: the file that shows the talker, or None.
        video_remark: what is wrong with the video and what is done about it, or "".
    """

    source: Path
    target: Path
    encoding: Encoding
    seconds: float
    frames: int = 0
    non_finite: int = 0
    failure: str = ""
    video: Path | None = None
    video_remark: str = ""

    @property
    def rate(self) -> int:
        """The sample rate of source and target in Hz."""
        return self.encoding.rate

    @property
    def channels(self) -> int:
        """The number of channels of source and target."""
        return self.encoding.channels


@dataclass(frozen=True)
class EnhancementPlan:
    """The files of one call of `enhance_files`.

    Attributes:
        source: the input file or folder.
        output: the output folder.
        jobs: the files that can be opened, the shortest first.
        skipped: the files that cannot be opened, each with the reason.
        reencoded: the sources whose own format cannot be written.
        ignored: the number of files without an audio suffix in a source folder, by their suffix.
    """

    source: Path
    output: Path
    jobs: list[FileJob]
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    reencoded: list[Path] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def plan_enhancement(source: Path, output: Path) -> EnhancementPlan:
    """Opens every file and decides what to do with it.

    Files in the output folder are never sources, so a folder can contain its own output.

    Args:
        source: a file, or a folder to search at any depth.
        output: a folder, which need not exist.

    Raises:
        UserError: the source does not exist or has no audio files, the output is not a folder, or
            an output would replace a source.
    """
    if not source.exists():
        raise UserError(f"--input={source}: there is no such file or folder")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file; give a folder")
    if not output.exists() and output.suffix.lower() in audio.SUFFIXES:
        raise UserError(f"--output={output} is a file name; give a folder, such as {output.parent}")
    folder = source if source.is_dir() else source.parent
    names = _listing(source, output) if source.is_dir() else [source.name]
    plan = EnhancementPlan(source, output, [])
    for name in names:
        try:
            with audio.open_to_read(folder / name) as file:
                seconds = file.frames / file.samplerate
                encoding = Encoding(
                    file.format, file.subtype, file.endian, file.samplerate, file.channels
                )
        except audio.BadAudioError as error:
            plan.skipped.append((folder / name, str(error)))
            continue
        target = output / name
        if not can_hold(encoding):
            encoding = replace(encoding, format="WAV", subtype="PCM_16", endian="FILE")
            if target.suffix.lower() != ".wav":
                # The suffix is appended because another file may have the same stem.
                target = output / f"{name}.wav"
            plan.reencoded.append(folder / name)
        plan.jobs.append(FileJob(folder / name, target, encoding, seconds))
    _refuse_to_overwrite(plan)
    if source.is_dir():
        plan.ignored.update(_count_ignored(source, output))
    plan.jobs.sort(key=lambda job: job.seconds)
    return plan


@functools.cache
def can_hold(encoding: Encoding) -> bool:
    """Whether soundfile can write this encoding and reads back as many samples as it wrote.

    It can only read some formats (MPEG layers I and II), and others pad to whole blocks (ADPCM).
    """
    silence = np.zeros((PROBE_SAMPLES, encoding.channels), np.float32)
    memory = io.BytesIO()
    try:
        soundfile.write(
            memory,
            silence,
            encoding.rate,
            subtype=encoding.subtype,
            endian=encoding.endian,
            format=encoding.format,
        )
        memory.seek(0)
        info = soundfile.info(memory)
    except audio.UNREADABLE:
        return False
    same = (info.format, info.subtype, info.samplerate, info.frames)
    return bool(same == (encoding.format, encoding.subtype, encoding.rate, PROBE_SAMPLES))


def _listing(source: Path, output: Path) -> list[str]:
    own = _own_output(source, output)
    names = [name for name in audio.find(source) if not _is_inside(source / name, own)]
    if not names:
        raise UserError(
            f"--input={source}: contains no audio files; their names end in "
            f"{', '.join(sorted(audio.SUFFIXES))}"
        )
    return names


def _count_ignored(source: Path, output: Path) -> Counter[str]:
    own = _own_output(source, output)
    found: Counter[str] = Counter()
    for path in source.rglob("*"):
        is_audio = path.suffix.lower() in audio.SUFFIXES
        is_hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not (is_audio or is_hidden or _is_inside(path, own)) and path.is_file():
            found[path.suffix.lower()] += 1
    return found


def _own_output(source: Path, output: Path) -> Path | None:
    """Returns the output folder if it is below the source folder; its files are not sources."""
    return output if _is_inside(output, source) and not _is_inside(source, output) else None


def _is_inside(path: Path, folder: Path | None) -> bool:
    if folder is None:
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _refuse_to_overwrite(plan: EnhancementPlan) -> None:
    identities = {_identity(job.source) for job in plan.jobs}
    for job in plan.jobs:
        if job.target.exists() and _identity(job.target) in identities:
            raise UserError(
                f"--output={plan.output} would overwrite the input {job.target}; "
                "give another folder"
            )


def _identity(path: Path) -> tuple[int, int]:
    """Returns the same for all names of a file: links, or letter cases that the disk ignores."""
    status = path.stat()
    return status.st_dev, status.st_ino
