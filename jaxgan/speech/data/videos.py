"""Videos of talkers with the audio: stored on the host, kept on every device, gathered by index.

All videos are grey, 25 frames a second, and aligned with audio at 16000 Hz: frame n shows the
samples from 640 n up to, but without, 640 (n + 1).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError

FRAME_SAMPLES = 640
"""The samples that one frame lasts: 25 frames a second at 16000 Hz."""


def count_frames(samples: Any) -> Any:
    """Returns the number of frames that show this many samples, an int or an array of ints."""
    return -(-samples // FRAME_SAMPLES)


class Crop(NamedTuple):
    """Which part of a video's frames is the mouth, and the size that it is resized to.

    Attributes:
        height: the height of the result in pixels.
        width: the width of the result in pixels.
        box: top, left, bottom and right of the mouth, as shares of the frame's height and width.
    """

    height: int
    width: int
    box: tuple[float, float, float, float]

    def require(self, frames: np.ndarray) -> None:
        """Raises UserError unless frames, uint8 [F, height, width], have this size."""
        if frames.shape[1:] != (self.height, self.width):
            height, width = frames.shape[1:]
            raise UserError(
                f"config.video has height {self.height} and width {self.width}, but the videos "
                f"have {height} and {width}: give these"
            )


def crop_of(config: ConfigDict) -> Crop | None:
    """Returns the crop that `config.video` describes; None if the run's network sees no video.

    Raises:
        UserError: the box is not a part of a frame.
    """
    if "video" not in config:
        return None
    box = tuple(config.video.box)
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise UserError(
            f"config.video.box={box}: give top, left, bottom and right of the mouth as shares of "
            "the frame, from 0 to 1"
        )
    return Crop(config.video.height, config.video.width, box)


@dataclass(frozen=True, eq=False)
class Videos:
    """Two videos for each utterance of a corpus: the target talker's and another talker's.

    Frame f of utterance i is `frames[starts[i] + f]`, and that of the other talker is
    `frames[other_starts[i] + f]`. A video may have fewer frames than its utterance lasts.

    Attributes:
        frames: uint8 [total, height, width]; may be a read-only memory map.
        starts: int64 [n].
        counts: int32 [n], the frames of the target's video.
        other_starts: int64 [n].
        other_counts: int32 [n], the frames of the other talker's video.
        other_is_heard: whether the other talker speaks in the mixture.
    """

    frames: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    other_starts: np.ndarray
    other_counts: np.ndarray
    other_is_heard: bool

    def select(self, indices: np.ndarray) -> "Videos":
        """Returns the videos with these indices, in this order, sharing the frames."""
        return replace(
            self,
            starts=self.starts[indices],
            counts=self.counts[indices],
            other_starts=self.other_starts[indices],
            other_counts=self.other_counts[indices],
        )

    def target(self, index: int) -> np.ndarray:
        """Returns the target's video of an utterance, uint8 [counts[index], height, width]."""
        return self.frames[self.starts[index] : self.starts[index] + self.counts[index]]

    def other(self, index: int) -> np.ndarray:
        """Returns the other talker's video, uint8 [other_counts[index], height, width]."""
        start = self.other_starts[index]
        return self.frames[start : start + self.other_counts[index]]

    @property
    def megabytes(self) -> float:
        """The size of all frames."""
        return self.frames.nbytes / 1e6

    def arrays(self) -> "VideoArrays":
        """Returns the arrays that are placed on the devices."""
        starts, other_starts = self.starts.astype(np.int32), self.other_starts.astype(np.int32)
        return VideoArrays(self.frames, starts, self.counts, other_starts, self.other_counts)


def make_videos(frames: np.ndarray, lengths: np.ndarray) -> Videos:
    """Returns the videos of mixtures of two talkers, which last whole frames.

    Args:
        frames: uint8 [2 * total, height, width], the frames of all targets, one after the other,
            then those of all other talkers.
        lengths: the lengths of the utterances, in samples.
    """
    counts = (lengths // FRAME_SAMPLES).astype(np.int32)
    starts = np.cumsum(counts, dtype=np.int64) - counts
    return Videos(frames, starts, counts, starts + counts.sum(dtype=np.int64), counts, True)


def videos_of_scenes(frames: np.ndarray, counts: np.ndarray) -> Videos:
    """Returns the videos of mixtures of which only the target's video is known.

    The other talker is the target of the next mixture, so his speech is not heard; if there is only
    one mixture, the other talker's video has no frames.

    Args:
        frames: uint8 [total, height, width], of all targets, one after the other.
        counts: int32 [n], the frames of each.
    """
    starts = np.cumsum(counts, dtype=np.int64) - counts
    other_counts = np.roll(counts, -1) if len(counts) > 1 else np.zeros_like(counts)
    return Videos(frames, starts, counts, np.roll(starts, -1), other_counts, False)


@struct.dataclass
class VideoArrays:
    """`Videos` on the devices, with starts int32 [n]."""

    frames: jax.Array | np.ndarray
    starts: jax.Array | np.ndarray
    counts: jax.Array | np.ndarray
    other_starts: jax.Array | np.ndarray
    other_counts: jax.Array | np.ndarray


def gather(
    videos: VideoArrays,
    index: jax.Array,
    frames: int,
    of_other: jax.Array,
    first: jax.Array | int = 0,
    last: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns the frames of the utterances of a batch.

    Args:
        videos: the videos of the corpus.
        index: int [B], the utterances; -1 for an empty row.
        frames: F, how many frames to return of each.
        of_other: bool [], whether they are the other talker's instead of the target's.
        first: int [B] or [], the first frame to return.
        last: int [B], the frame of the video at which it freezes; None: no video does.

    Returns:
        uint8 [B, F, height, width], and bool [B, F]: whether there is such a frame. The values of
        frames that do not exist are unspecified.
    """
    starts = jnp.where(of_other, videos.other_starts, videos.starts)[index]
    counts = jnp.where(of_other, videos.other_counts, videos.counts)[index]
    counts = jnp.where(index >= 0, counts, 0)
    frame = jnp.reshape(first, (-1, 1)) + jnp.arange(frames)
    exists = frame < counts[:, None]
    shown = jnp.minimum(frame, jnp.maximum(counts - 1, 0)[:, None])
    if last is not None:
        shown = jnp.minimum(shown, last[:, None])
    return jnp.asarray(videos.frames)[starts[:, None] + shown], exists
