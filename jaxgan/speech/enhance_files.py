"""Enhances audio files and folders of them; each keeps its rate, channels, format and length.

A file is read, resampled, enhanced in overlapped pieces, resampled back and written in one stream
of blocks: memory does not grow with its length. Pieces of neighbouring files share batches.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import Progress

from jaxgan.core.errors import UserError
from jaxgan.core.progress import duration
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.jobs import Job, Plan, make_plan
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.long_audio import cut, join, resample

BLOCK_SECONDS = 4
FLUSH = 16
"""Zeros behind a stream at 16000 Hz: with them it is never short of samples at its own rate."""


def enhance_files(
    enhancer: Enhancer,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    tell: Callable[[str], None] = print,
) -> None:
    """Enhances a file, or every audio file under a folder, into an output folder.

    Channels are enhanced one by one. What cannot be decoded is skipped and named; samples that are
    not finite count as 0.

    Args:
        enhancer: a trained one.
        source: a file, or a folder whose sub-folders are kept.
        output: a folder, made where needed; files of earlier calls in it are replaced.
        tell: gets what there is to say, line by line.

    Raises:
        UserError: no such source, an output that would overwrite an input, nothing that could be
            enhanced, or a disk that cannot be written.
    """
    plan = make_plan(Path(source).expanduser(), Path(output).expanduser())
    began = time.perf_counter()
    enhance_all(enhancer, plan.jobs)
    report(plan, time.perf_counter() - began, tell)


def enhance_all(enhancer: Enhancer, jobs: list[Job]) -> None:
    """Enhances and writes every file, and notes in each job what came of it."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Enhancing", total=sum(job.seconds for job in jobs))

        def advance(seconds: float) -> None:
            progress.advance(task, seconds)

        unseen = dict.fromkeys(jobs)
        enhanced = enhancer.each(read_pieces(jobs))
        for job, waves in itertools.groupby(enhanced, key=itemgetter(0)):
            del unseen[job]
            save(job, (wave for _, wave in waves), advance)
        # Files without a single sample at 16000 Hz.
        for job in unseen:
            save(job, iter(()), advance)


def read_pieces(jobs: Iterable[Job]) -> Iterator[tuple[Job, np.ndarray]]:
    """The pieces of every file, float32 [n] at 16000 Hz, channel after channel of each piece."""
    for job in jobs:
        try:
            for piece in cut(resample(read(job), job.rate, SAMPLE_RATE, job.channels)):
                for channel in piece.T:
                    yield job, channel
        except (*audio.UNREADABLE, RuntimeError) as error:  # soxr raises the latter
            job.failure = audio.undecodable(error)


def read(job: Job) -> Iterator[np.ndarray]:
    """The samples of a file, float32 [n, channels]; counts them in the job."""
    with soundfile.SoundFile(job.source) as file:
        while len(block := file.read(BLOCK_SECONDS * job.rate, "float32", always_2d=True)):
            finite = np.isfinite(block)
            if not finite.all():
                job.not_finite += int(np.count_nonzero(~finite))
                block[~finite] = 0
            job.frames += len(block)
            yield block


def restore(job: Job, waves: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Enhanced pieces as blocks of the file to be: float32 [n, channels] at its rate and length."""
    chunks = iter(lambda: list(itertools.islice(waves, job.channels)), [])
    pieces = (np.stack(chunk, axis=1) for chunk in chunks)
    flush = np.zeros((FLUSH, job.channels), np.float32)
    blocks = itertools.chain(join(pieces), [flush])
    written = 0
    for block in resample(blocks, SAMPLE_RATE, job.rate, job.channels):
        # All was read before the last piece was enhanced, so only the flush is cut off here.
        block = block[: job.frames - written]
        written += len(block)
        yield block


def save(job: Job, waves: Iterator[np.ndarray], advance: Callable[[float], None]) -> None:
    """Writes a file: whole, or not at all where its source turns out to be damaged."""
    part = job.target.with_name(f".{job.target.name}.part")
    encoding = job.encoding
    with audio.writable(job.target.parent):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with soundfile.SoundFile(
                part,
                "w",
                samplerate=encoding.rate,
                channels=encoding.channels,
                subtype=encoding.subtype,
                endian=encoding.endian,
                format=encoding.format,
            ) as file:
                for block in restore(job, waves):
                    file.write(block)
                    advance(len(block) / job.rate)
            if not job.failure:
                part.replace(job.target)
        finally:
            part.unlink(missing_ok=True)


def report(plan: Plan, seconds: float, tell: Callable[[str], None]) -> None:
    """Says what was done, and names what was not.

    Raises:
        UserError: nothing could be done.
    """
    skipped = plan.skipped + [(job.source, job.failure) for job in plan.jobs if job.failure]
    done = [job for job in plan.jobs if not job.failure]
    if not done:
        path, why = skipped[0]
        more = f", nor could {len(skipped) - 1} more files" if len(skipped) > 1 else ""
        raise UserError(f"{path}: {why}{more}; nothing was enhanced")
    audio_seconds = sum(job.frames / job.rate for job in done)
    files = "1 file" if len(done) == 1 else f"{len(done)} files"
    spent = f"{duration(audio_seconds)} of audio in {duration(seconds)}"
    tell(f"{plan.output}: {files} enhanced, {spent}")
    if any(job.rate > SAMPLE_RATE for job in done):
        tell("files above 16000 Hz now hold nothing above 8000 Hz, where the network ends")
    for job in done:
        if job.not_finite:
            tell(f"{job.source}: {job.not_finite} samples that are not finite were taken as 0")
        if job.source in plan.reencoded:
            tell(f"{job.source}: its format cannot be written; it became {job.target}")
    for path, why in skipped:
        tell(f"skipped {path}: {why}")
    if plan.others:
        others = ", ".join(
            f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(plan.others.items())
        )
        tell(f"left alone, for their names are no audio's: {others}")
