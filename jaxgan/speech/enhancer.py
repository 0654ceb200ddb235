"""A trained enhancer: loads it from a run's folder and applies it to waveforms of any length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.players import load_players
from jaxgan.core.state import PyTree
from jaxgan.speech.data.videos import Crop, count_frames
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.settings import check

ROWS = 8
"""The most waveforms in a batch on one device. An accelerator takes hardly longer for eight than
for one; on a CPU it makes little difference."""
ROW_SAMPLES = 2**18
"""A batch of up to n rows holds at most n times this many samples (16.4 s), padding included.
Batches of longer waveforms have fewer rows, so memory is bounded."""
SHORTEST = 2**14
"""The shortest padded length in samples, 1.02 s."""

Tag = TypeVar("Tag")
Tagged = tuple[Tag, np.ndarray]
Clip = tuple[Tag, np.ndarray, np.ndarray | None]
"""A tag, a waveform float32 [n], and a video uint8 [F, height, width] or None. Frame f shows the
samples from 640 f on; where it ends earlier than the waveform, the network sees nothing."""


class Enhancer:
    """Enhances 16 kHz speech. Each padded length is compiled once, and there are few of them.

    Attributes:
        config: the config of the run.
        denoiser: applies the generator, as a pure function of its parameters.
        front_end: window and hop.
        with_video: the network with a video; None if it sees none.
        params: the generator's parameters, on the devices.

    Args:
        config: the config of the run that trained the generator.
        denoiser: applies the generator.
        params: the generator's parameters.
        mesh: the devices that batches are split over.
    """

    def __init__(self, config: ConfigDict, denoiser: Denoiser, params: PyTree, mesh: Mesh) -> None:
        self.config = config
        self._mesh = mesh
        self.denoiser = denoiser
        self.front_end = self.denoiser.front_end
        self.params = devices.put_replicated(params, mesh)
        self.with_video = denoiser.with_video
        function = self.with_video.enhance if self.with_video else denoiser.enhance
        program = jax.jit(function, out_shardings=devices.sharded(mesh))
        self._run = devices.under(mesh, program)

    def __call__(self, noisy: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Returns the enhanced waveforms: float32 [B, T], with zeros after each.

        Args:
            noisy: float32 [B, T], full scale 1, finite; samples past a waveform's length are not
                read.
            lengths: int [B], the samples of each waveform, at most T.
        """
        waves = [(row, noisy[row, :length]) for row, length in enumerate(lengths)]
        enhanced = np.zeros(noisy.shape, np.float32)
        for row, wave in self.each(waves):
            enhanced[row, : len(wave)] = wave
        return enhanced

    def each(self, waves: Iterable[Tagged[Tag]]) -> Iterator[Tagged[Tag]]:
        """Enhances a stream of waveforms in order.

        Successive waveforms form batches, so padding is least if their lengths are similar. The
        next batch is read while the devices enhance the previous one.

        Args:
            waves: pairs of any tag and a waveform, float32 [n], full scale 1, finite.

        Yields:
            The same tags with enhanced waveforms float32 [n].
        """
        yield from self.each_clip((tag, wave, None) for tag, wave in waves)

    def each_clip(self, clips: Iterable[Clip[Tag]]) -> Iterator[Tagged[Tag]]:
        """Enhances waveforms like `each`, with a video of the talker where there is one.

        A network that sees no videos ignores them.
        """
        before: tuple[list[tuple[Tag, int]], jax.Array] | None = None
        for batch in batches(clips, ROWS * self._mesh.size, self.padded_length):
            running = self._start(batch)
            if before:
                yield from _unpad(*before)
            before = [(tag, len(wave)) for tag, wave, _ in batch], running
        if before:
            yield from _unpad(*before)

    def padded_length(self, samples: int) -> int:
        """Returns the shortest padded length that holds this many samples."""
        return padded_length(samples, self.front_end.hop)

    def _start(self, clips: list[Clip[Tag]]) -> jax.Array:
        """Starts to enhance a batch and returns its waveforms: float32 [rows, T] on the devices."""
        # Only the last batch of a stream is not full; powers of two keep its shapes few.
        rows = max(1 << (len(clips) - 1).bit_length(), self._mesh.size)
        rows += -rows % self._mesh.size
        lengths = np.zeros(rows, np.int32)
        lengths[: len(clips)] = [len(wave) for _, wave, _ in clips]
        noisy = np.zeros((rows, self.padded_length(lengths.max())), np.float32)
        for row, (_, wave, _) in enumerate(clips):
            noisy[row, : len(wave)] = wave
        inputs = [noisy, lengths]
        if self.with_video:
            videos = [video for _, _, video in clips]
            count = count_frames(noisy.shape[1])
            inputs += padded_videos(videos, rows, count, self.with_video.crop)
        enhanced: jax.Array = self._run(self.params, *devices.put_sharded(inputs, self._mesh))
        return enhanced


def padded_videos(
    videos: Sequence[np.ndarray | None], rows: int, count: int, crop: Crop
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the videos of a batch.

    Args:
        videos: uint8 [F, height, width] each, or None.
        rows: the number of rows of the batch, at least as many as videos.
        count: the frames of each row; later ones are left out.
        crop: has the height and the width.

    Returns:
        Frames uint8 [rows, count, height, width], and bool [rows, count]: which of them there are.
    """
    frames = np.zeros((rows, count, crop.height, crop.width), np.uint8)
    seen = np.zeros((rows, count), bool)
    for row, video in enumerate(videos):
        if video is not None:
            shown = video[:count]
            frames[row, : len(shown)] = shown
            seen[row, : len(shown)] = True
    return frames, seen


def without_video(config: ConfigDict, remedy: str) -> str:
    """Returns the message that an audio-visual network has been given no video.

    Args:
        config: the config of the run.
        remedy: how to give one.
    """
    return (
        f"config.recipe={config.recipe}: no video is given, so the speech is enhanced without; "
        f"{remedy}"
    )


def load(
    workdir: epath.PathLike, checkpoint: str, make_denoiser: Callable[[ConfigDict], Denoiser]
) -> Enhancer:
    """Returns the enhancer that a run has trained. It only needs the run's folder.

    Args:
        workdir: the run's folder.
        checkpoint: "best" (the last one if there has been no validation), "last", or the round of
            a checkpoint that was kept.
        make_denoiser: makes the denoiser of a config.

    Raises:
        UserError: the folder is not that of a run, has no such checkpoint, or its config.json does
            not describe the checkpoint's networks.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    check(config)
    player = load_players(folder, checkpoint).get("generator")
    if player is None:
        raise UserError(f"{folder}: its checkpoints hold no player named generator")
    mesh = devices.make_mesh()
    with configs.fits(folder):
        enhancer = Enhancer(config, make_denoiser(config), player.deployed, mesh)
        wave = jax.ShapeDtypeStruct((1, enhancer.padded_length(1)), np.float32)
        count = jax.ShapeDtypeStruct((1,), np.int32)
        jax.eval_shape(enhancer.denoiser.enhance, player.deployed, wave, count)
    return enhancer


def padded_length(samples: int, hop: int) -> int:
    """Returns the shortest padded length that holds this many samples.

    Padded lengths are `SHORTEST` times 1, 1.5, 2, 3, 4, 6, 8, ..., rounded up to a multiple of the
    hop. So padding adds at most half of a waveform, and 11 lengths cover up to 32 s.
    """
    length = SHORTEST
    while length < samples:
        # From a power of two to one and a half times it, and then to the next power of two.
        length += length // 2 if length & (length - 1) == 0 else length // 3
    return int(length + -length % hop)


def batches(
    clips: Iterable[Clip[Tag]], rows: int, padded: Callable[[int], int]
) -> Iterator[list[Clip[Tag]]]:
    """Yields batches of at most `rows` waveforms and `rows * ROW_SAMPLES` padded samples."""
    batch: list[Clip[Tag]] = []
    longest = 0
    for clip in clips:
        longest = max(longest, padded(len(clip[1])))
        if len(batch) == rows or (batch and (len(batch) + 1) * longest > rows * ROW_SAMPLES):
            yield batch
            batch, longest = [], padded(len(clip[1]))
        batch.append(clip)
    if batch:
        yield batch


def _unpad(rows: list[tuple[Tag, int]], enhanced: jax.Array) -> Iterator[Tagged[Tag]]:
    waves = np.asarray(enhanced)
    for row, (tag, length) in enumerate(rows):
        yield tag, waves[row, :length]
