"""What enhancing files has to do, found out before anything is written."""

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


@dataclass(frozen=True)
class Encoding:
    """How a file holds its samples, in soundfile's words."""

    format: str
    subtype: str
    endian: str
    rate: int
    channels: int


@dataclass(eq=False)
class Job:
    """One file to enhance, and what came of it.

    Attributes:
        source: the file.
        target: what is written.
        encoding: of the target.
        seconds: how long the source says it is.
        frames: samples of each channel that were read so far.
        not_finite: samples that were no numbers and were taken as 0.
        failure: why it could not be read to its end; "" while nothing is wrong.
    """

    source: Path
    target: Path
    encoding: Encoding
    seconds: float
    frames: int = 0
    not_finite: int = 0
    failure: str = ""

    @property
    def rate(self) -> int:
        """Hz."""
        return self.encoding.rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.encoding.channels


@dataclass(frozen=True)
class Plan:
    """All files of a call.

    Attributes:
        source: file or folder.
        output: folder.
        jobs: what can be opened, the shortest first.
        skipped: files that cannot be opened, with the reason.
        reencoded: files whose own format cannot be written, by source.
        others: how many files of a folder are no audio by their names, by suffix.
    """

    source: Path
    output: Path
    jobs: list[Job]
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    reencoded: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def make_plan(source: Path, output: Path) -> Plan:
    """Looks at every file.

    What lies in the output folder is never a source, so a folder can hold its own output.

    Raises:
        UserError: there is no such source, no audio in it, or an output would replace a source.
    """
    if not source.exists():
        raise UserError(f"--input={source}: there is no such file or folder")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file; give a folder")
    if not output.exists() and output.suffix.lower() in audio.SUFFIXES:
        raise UserError(f"--output={output} names a file; give a folder for it, {output.parent}")
    folder = source if source.is_dir() else source.parent
    names = _listing(source, output) if source.is_dir() else [source.name]
    plan = Plan(source, output, [])
    for name in names:
        try:
            info = soundfile.info(folder / name)
        except audio.UNREADABLE as error:
            plan.skipped.append((folder / name, audio.undecodable(error)))
            continue
        encoding = Encoding(info.format, info.subtype, info.endian, info.samplerate, info.channels)
        target = output / name
        if not can_hold(encoding):
            encoding = replace(encoding, format="WAV", subtype="PCM_16", endian="FILE")
            if target.suffix.lower() != ".wav":
                # Behind the whole name: a file of that stem may have its own output.
                target = output / f"{name}.wav"
            plan.reencoded.append(folder / name)
        plan.jobs.append(Job(folder / name, target, encoding, info.duration))
    _refuse_to_overwrite(plan)
    if source.is_dir():
        plan.others.update(_others(source, output))
    plan.jobs.sort(key=lambda job: job.seconds)
    return plan


@functools.cache
def can_hold(encoding: Encoding) -> bool:
    """Whether soundfile can write this encoding and reads back as many samples as were written.

    Some formats are only read (MPEG layers I and II), some only hold whole blocks (ADPCM).
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
            f"--input={source}: holds no audio files; their names end in "
            f"{', '.join(sorted(audio.SUFFIXES))}"
        )
    return names


def _others(source: Path, output: Path) -> Counter[str]:
    own = _own_output(source, output)
    found: Counter[str] = Counter()
    for path in source.rglob("*"):
        is_audio = path.suffix.lower() in audio.SUFFIXES
        if not (is_audio or path.name.startswith(".") or _is_inside(path, own)) and path.is_file():
            found[path.suffix.lower()] += 1
    return found


def _own_output(source: Path, output: Path) -> Path | None:
    """The output folder where it lies below the source: what it holds is no source."""
    return output if _is_inside(output, source) and not _is_inside(source, output) else None


def _is_inside(path: Path, folder: Path | None) -> bool:
    if folder is None:
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _refuse_to_overwrite(plan: Plan) -> None:
    identities = {_identity(job.source) for job in plan.jobs}
    for job in plan.jobs:
        if job.target.exists() and _identity(job.target) in identities:
            raise UserError(
                f"--output={plan.output} would overwrite its own input {job.target}; "
                "give another folder"
            )


def _identity(path: Path) -> tuple[int, int]:
    """The same for two names of one file, be it links or letters that the disk takes as equal."""
    status = path.stat()
    return status.st_dev, status.st_ino
