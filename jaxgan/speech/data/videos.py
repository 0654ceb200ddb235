"""Videos of talkers beside the audio: stored on the host, kept on every device, gathered by index.

All videos are grey, 25 frames a second, and aligned with audio at 16000 Hz: frame n shows the
samples from 640 n up to, but without, 640 (n + 1).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

FRAME_SAMPLES = 640
"""The samples that one frame lasts: 25 frames a second at 16000 Hz."""


def count_frames(samples: Any) -> Any:
    """Returns the number of frames that show this many samples, an int or an array of ints."""
    return -(-samples // FRAME_SAMPLES)


@dataclass(frozen=True, eq=False)
class Videos:
    """Two videos for each utterance of a corpus: the target talker's and the other talker's.

    Frame f of utterance i is `target[starts[i] + f]` and `other[starts[i] + f]`.

    Attributes:
        target: uint8 [total, height, width].
        other: uint8 [total, height, width].
        starts: int64 [n].
        counts: int32 [n], the frames of each utterance.
    """

    target: np.ndarray
    other: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    def select(self, indices: np.ndarray) -> "Videos":
        """Returns the videos with these indices, in this order, sharing the frames."""
        return Videos(self.target, self.other, self.starts[indices], self.counts[indices])

    @property
    def megabytes(self) -> float:
        """The size of all frames."""
        return (self.target.nbytes + self.other.nbytes) / 1e6

    def arrays(self) -> "VideoArrays":
        """Returns the arrays that are placed on the devices."""
        starts = self.starts.astype(np.int32)
        return VideoArrays(self.target, self.other, starts, self.counts)


def make_videos(target: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> Videos:
    """Returns the videos of utterances that last whole frames.

    Args:
        target: uint8 [total, height, width], the frames of all utterances, one after the other.
        other: the same of the other talkers.
        lengths: of the utterances, in samples.
    """
    counts = (lengths // FRAME_SAMPLES).astype(np.int32)
    return Videos(target, other, np.cumsum(counts, dtype=np.int64) - counts, counts)


@struct.dataclass
class VideoArrays:
    """`Videos` on the devices, with starts int32 [n]."""

    target: jax.Array | np.ndarray
    other: jax.Array | np.ndarray
    starts: jax.Array | np.ndarray
    counts: jax.Array | np.ndarray


def gather(
    videos: VideoArrays,
    index: jax.Array,
    frames: int,
    of_other: jax.Array,
    last: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns the frames of the utterances of a batch.

    Args:
        videos: of the corpus.
        index: int [B], the utterances; -1 for an empty row.
        frames: F, how many frames to return of each.
        of_other: bool [], whether they are the other talker's instead of the target's.
        last: int [B], the frame at which each video freezes; None: no video does.

    Returns:
        uint8 [B, F, height, width], and bool [B, F]: whether there is such a frame. The values of
        frames that do not exist are unspecified.
    """
    counts = jnp.where(index >= 0, jnp.asarray(videos.counts)[index], 0)
    frame = jnp.arange(frames)
    exists = frame < counts[:, None]
    shown = jnp.minimum(frame, jnp.maximum(counts - 1, 0)[:, None])
    if last is not None:
        shown = jnp.minimum(shown, last[:, None])
    place = jnp.asarray(videos.starts)[index][:, None] + shown
    chosen = jnp.where(
        of_other, jnp.asarray(videos.other)[place], jnp.asarray(videos.target)[place]
    )
    return chosen, exists
