"""Enhances audio files, which keep their rates, channels, formats and lengths.

Each file is read, resampled, enhanced in overlapping pieces, resampled back and written as a stream
of blocks, so memory does not grow with its length. Pieces of consecutive files share batches.
"""

import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import Progress

from jaxgan.core.data_files import printable
from jaxgan.core.errors import UserError
from jaxgan.core.progress import duration
from jaxgan.speech.data import audio, video_files
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.avsec import video_of
from jaxgan.speech.data.enhancement_plan import EnhancementPlan, FileJob, plan_enhancement
from jaxgan.speech.data.video_files import SUFFIX, TOLERANCE, BadVideoError, remarks, require_av
from jaxgan.speech.data.videos import count_frames
from jaxgan.speech.enhancer import Clip, Enhancer, without_video
from jaxgan.speech.long_audio import cut, grid_of, join, pair_with_video, resample

FLUSH = 16
"""Zeros appended to the enhanced stream at 16000 Hz, so that resampling it to the file's rate never
gives fewer samples than the file has."""


def enhance_files(
    enhancer: Enhancer,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    print_line: Callable[[str], None] = print,
    video: str | os.PathLike[str] | None = None,
) -> None:
    """Enhances a file, or every audio file under a folder, into an output folder.

    Channels are enhanced independently. Files that cannot be decoded, or are float files whose
    full scale is not 1.0, are skipped and named. NaN and infinite samples are replaced by 0.

    Args:
        enhancer: a trained enhancer.
        source: a file, or a folder whose sub-folders are reproduced in the output.
        output: a folder, created if necessary; existing files in it may be replaced.
        print_line: called with each line of the summary.
        video: a folder in which `x/y.mp4` shows the talker of the source's file `x/y.wav`, and that
            of a scene of AVSEC has its own name; or the video of a source that is one file; None:
            there are no videos.

    Raises:
        UserError: the source does not exist, an output would overwrite an input, no file could be
            enhanced, the output cannot be written, or `find_videos` finds no video.
    """
    plan = plan_enhancement(Path(source).expanduser(), Path(output).expanduser())
    if video is not None:
        find_videos(enhancer, plan, Path(video).expanduser())
    elif enhancer.with_video:
        remedy = "--video=DIR has a video NAME.mp4 for each file NAME.wav"
        print_line(without_video(enhancer.config, remedy))
    start = time.perf_counter()
    enhance_all(enhancer, plan.jobs)
    summarise(plan, time.perf_counter() - start, print_line)


def find_videos(enhancer: Enhancer, plan: EnhancementPlan, video: Path) -> None:
    """Gives each job of a plan its video; see `enhance_files`.

    Raises:
        UserError: the network sees no videos, there is no such file or folder, no file of the
            source has a video, or PyAV is not installed.
    """
    if enhancer.with_video is None:
        raise UserError(
            f"--video={video}: a network of config.recipe={enhancer.config.recipe} sees no videos"
        )
    require_av()
    if not video.exists():
        raise UserError(f"--video={video}: there is no such file or folder")
    if not video.is_dir():
        if plan.source.is_dir():
            raise UserError(f"--video={video} is a file, but --input={plan.source} is a folder")
        for job in plan.jobs:
            job.video = video
        return
    folder = plan.source if plan.source.is_dir() else plan.source.parent
    for job in plan.jobs:
        place = video / job.source.relative_to(folder).with_suffix(SUFFIX)
        choices = [place, place.with_name(video_of(job.source.name) or place.name)]
        job.video = next((choice for choice in choices if choice.is_file()), None)
        if job.video is None:
            job.video_remark = f"there is no video {place}; enhanced without"
    if plan.jobs and not any(job.video for job in plan.jobs):
        wanted = video / plan.jobs[0].source.relative_to(folder).with_suffix(SUFFIX)
        raise UserError(f"--video={video}: has no video for any input, such as {wanted}")


def enhance_all(enhancer: Enhancer, jobs: list[FileJob]) -> None:
    """Enhances and writes every file, and updates its job with the result."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Enhancing", total=sum(job.seconds for job in jobs))

        def advance(seconds: float) -> None:
            progress.advance(task, seconds)

        remaining = dict.fromkeys(jobs)
        enhanced = enhancer.each_clip(read_pieces(enhancer, jobs))
        for job, waves in itertools.groupby(enhanced, key=itemgetter(0)):
            del remaining[job]
            save(job, (wave for _, wave in waves), advance)
        # These files gave no pieces: they are damaged or have no samples at 16000 Hz.
        for job in remaining:
            save(job, iter(()), advance)


def read_pieces(enhancer: Enhancer, jobs: Iterable[FileJob]) -> Iterator[Clip[FileJob]]:
    """Yields the pieces of every file as (job, float32 [n] at 16000 Hz, video), one per channel.

    A file that cannot be decoded to its end yields no further pieces; its job says why. The file is
    enhanced without video if that cannot be read.
    """
    for job in jobs:
        video = read_video(enhancer, job)
        try:
            pieces = cut(
                resample(read(job), job.rate, SAMPLE_RATE, job.channels), grid=grid_of(enhancer)
            )
            for piece, part in pair_with_video(pieces, video):
                for channel in piece.T:
                    yield job, channel, part
        except (*audio.UNREADABLE, RuntimeError) as error:  # soxr raises the latter
            job.failure = audio.reason_undecodable(error)
        except audio.BadAudioError as error:
            job.failure = str(error)


def read_video(enhancer: Enhancer, job: FileJob) -> np.ndarray | None:
    """Returns the video of a job, uint8 [F, height, width], or None; its job says what is wrong."""
    if job.video is None or enhancer.with_video is None:
        return None
    count = count_frames(math.ceil(job.seconds * SAMPLE_RATE))
    try:
        mouth = video_files.read(job.video, enhancer.with_video.crop, count + TOLERANCE + 1)
    except BadVideoError as error:
        job.video_remark = f"{job.video}: {error}; enhanced without"
        return None
    reason, action = remarks(mouth, count)
    if reason:
        job.video_remark = f"{job.video}: {reason}; {action}"
    return mouth.frames[:count]


def read(job: FileJob) -> Iterator[np.ndarray]:
    """Yields the samples of a file in blocks, float32 [n, channels], and counts them in its job.

    NaN and infinite samples are replaced by 0.

    Raises:
        BadAudioError: see `audio.open_to_read` and `audio.check_scale`.
    """
    with audio.open_to_read(job.source) as file:
        while len(block := file.read(audio.BLOCK_SECONDS * job.rate, "float32", always_2d=True)):
            finite = np.isfinite(block)
            if not finite.all():
                job.non_finite += int(np.count_nonzero(~finite))
                block[~finite] = 0
            audio.check_scale(block)
            job.frames += len(block)
            yield block


def restore(job: FileJob, waves: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Joins enhanced pieces and resamples them to the rate and length of the file.

    Args:
        job: the file.
        waves: its pieces in the order of `read_pieces`, float32 [n] at 16000 Hz.

    Yields:
        Blocks of the output, float32 [n, channels].
    """
    chunks = iter(lambda: list(itertools.islice(waves, job.channels)), [])
    pieces = (np.stack(chunk, axis=1) for chunk in chunks)
    flush = np.zeros((FLUSH, job.channels), np.float32)
    blocks = itertools.chain(join(pieces), [flush])
    written = 0
    for block in resample(blocks, SAMPLE_RATE, job.rate, job.channels):
        # Reading ends before the last piece is enhanced, so this only trims the flush.
        block = block[: job.frames - written]
        written += len(block)
        yield block


def save(job: FileJob, waves: Iterator[np.ndarray], advance: Callable[[float], None]) -> None:
    """Writes an enhanced file, which appears once it is complete, and not if its source is damaged.

    Args:
        job: the file.
        waves: see `restore`.
        advance: called with the duration of each block written, in seconds.

    Raises:
        UserError: the file cannot be written.
    """
    part = job.target.with_name(f".{job.target.name}.part")
    encoding = job.encoding
    with audio.writable(job.target.parent):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with soundfile.SoundFile(
                os.fsencode(part),
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


def summarise(plan: EnhancementPlan, seconds: float, print_line: Callable[[str], None]) -> None:
    """Prints how much was enhanced, and names files that were skipped or changed in some way.

    Args:
        plan: its jobs are finished.
        seconds: the time they took.
        print_line: called with each line.

    Raises:
        UserError: no file could be enhanced.
    """

    def say(line: str) -> None:
        print_line(printable(line))

    skipped = plan.skipped + [(job.source, job.failure) for job in plan.jobs if job.failure]
    done = [job for job in plan.jobs if not job.failure]
    if not done:
        path, reason = skipped[0]
        others = f", and {len(skipped) - 1} more could not be read" if len(skipped) > 1 else ""
        raise UserError(printable(f"{path}: {reason}{others}; nothing was enhanced"))
    audio_seconds = sum(job.frames / job.rate for job in done)
    files = "1 file" if len(done) == 1 else f"{len(done)} files"
    spent = f"{duration(audio_seconds)} of audio in {duration(seconds)}"
    say(f"{plan.output}: {files} enhanced, {spent}")
    if any(job.rate > SAMPLE_RATE for job in done):
        say("files above 16000 Hz have lost everything above 8000 Hz, the network's limit")
    for job in done:
        if job.non_finite:
            say(f"{job.source}: {job.non_finite} NaN or infinite samples were replaced by 0")
        if job.source in plan.reencoded:
            say(f"{job.source}: its format cannot be written; saved as {job.target}")
        if job.video_remark:
            say(f"{job.source}: {job.video_remark}")
    for path, reason in skipped:
        say(f"skipped {path}: {reason}")
    if plan.ignored:
        suffixes = ", ".join(
            f"{count} {suffix or 'without suffix'}"
            for suffix, count in sorted(plan.ignored.items())
        )
        say(f"ignored files whose names have no audio suffix: {suffixes}")
