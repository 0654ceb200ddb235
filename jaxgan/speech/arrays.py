"""Enhances arrays of samples: whole ones at any rate, or pieces of a stream."""

import functools
import logging
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, video_files
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.video_files import RATE, BadVideoError
from jaxgan.speech.enhancer import Enhancer, without_video
from jaxgan.speech.long_audio import enhance_clips, resample

_log = logging.getLogger(__name__)

TYPES = ("int16", "float32", "float64")
MOST_CHANNELS = 64
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000
FLUSH = np.zeros((16, 1), np.float32)
"""Zeros after the enhanced samples, so that resampling them back never gives too few."""
OFFLINE = (
    "this network is offline, it needs the whole recording; one that streams is trained by "
    "--config=configs/metricgan_plus.py:causal or --config.generator.causal=True"
)


class Stream:
    """Enhances one stream of 16000 Hz samples, which may arrive in pieces of any lengths.

    All results together are those of enhancing all samples as one utterance. `ArrayEnhancer.stream`
    makes one.

    Attributes:
        latency: how many samples must follow a sample until it is returned, at most: a window.

    Args:
        step: (state, float32 [hop]) -> the state after, and the samples of the block before.
        state: before the first sample.
        hop: the number of samples in a block.
    """

    def __init__(self, step: Callable[[Any, np.ndarray], tuple[Any, Any]], state: Any, hop: int):
        self._step, self._state, self._hop = step, state, hop
        self._type: np.dtype | None = None
        self._waiting = np.zeros(0, np.float32)
        self._received = self._returned = 0
        self._blocks = 0
        self._ended = False
        self.latency = 2 * hop

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Returns the enhanced samples that are complete after these ones.

        Args:
            samples: [n], n >= 0: int16, or float32 or float64 with full scale 1.0; always the same
                type.

        Returns:
            The same type [m]; m is a multiple of the hop.

        Raises:
            UserError: the samples cannot be used, or `finish` was called before.
        """
        self._check_open()
        samples = as_array(samples)
        check(samples, SAMPLE_RATE)
        if samples.ndim != 1:
            raise UserError("a stream has one channel: give samples [n]")
        if self._type not in (None, samples.dtype):
            raise UserError(f"samples are {samples.dtype}, but those before were {self._type}")
        self._type = samples.dtype
        self._received += len(samples)
        return self._advance(as_float32(samples))

    def finish(self) -> np.ndarray:
        """Returns the last enhanced samples, after which as many were returned as were pushed.

        Raises:
            UserError: `finish` was called before.
        """
        self._check_open()
        self._ended = True
        # Zeros after the end, as in a whole utterance: up to the next block, and one block more.
        fill = -self._received % self._hop + self._hop if self._received else 0
        left = self._received - self._returned
        return self._advance(np.zeros(fill, np.float32))[:left]

    def _check_open(self) -> None:
        if self._ended:
            raise UserError("this stream has ended: make another one with stream()")

    def _advance(self, samples: np.ndarray) -> np.ndarray:
        """Enhances the blocks that are complete with these samples."""
        hop = self._hop
        samples = np.concatenate([self._waiting, samples])
        whole = len(samples) // hop * hop
        done = []
        for block in samples[:whole].reshape(-1, hop):
            self._state, enhanced = self._step(self._state, block)
            self._blocks += 1
            if self._blocks > 1:  # before the first block there is nothing
                done.append(np.asarray(enhanced))
        self._waiting = samples[whole:]
        found = np.concatenate(done) if done else np.zeros(0, np.float32)
        self._returned += len(found)
        return found if self._type is None else of_type(found, self._type)


class ArrayEnhancer:
    """Enhances arrays with a trained network. `jaxgan.load` makes one.

    Args:
        enhancer: works at `SAMPLE_RATE`.
    """

    def __init__(self, enhancer: Enhancer) -> None:
        self.enhancer = enhancer
        self._said = False

    def __call__(self, samples: Any, sample_rate: int, video: Any = None) -> np.ndarray:
        """Returns the enhanced samples, of the same shape and type.

        Channels are enhanced independently. Frequencies above 8000 Hz are lost.

        Args:
            samples: an array, or what `numpy.asarray` makes one, [n] or [channels, n]: int16, or
                float32 or float64 with full scale 1.0.
            sample_rate: the sample rate in Hz.
            video: the video of the talker's mouth, for an audio-visual network: uint8 [F, height,
                width], grey, 25 frames a second, from the first sample on, as `read_video` returns
                it. It may end before the samples do. None: the network sees nothing, which is
                logged once.

        Raises:
            UserError: the samples, the rate or the video cannot be used; the message says why.
        """
        samples = as_array(samples)
        check(samples, sample_rate)
        frames = self._frames(video)
        if not samples.size:
            return samples.copy()
        channels = np.atleast_2d(as_float32(samples))
        # Channels one after the other, so that each is a stream of its own.
        found = np.stack(
            [self._enhance(channel[:, None], sample_rate, frames) for channel in channels]
        )
        return of_type(found, samples.dtype).reshape(samples.shape)

    def read_video(self, path: str | os.PathLike[str], seconds: float = math.inf) -> np.ndarray:
        """Returns the frames of a video file as the network sees them: uint8 [F, height, width].

        Args:
            path: the file.
            seconds: how much of it to read.

        Raises:
            UserError: the network sees no videos, the file cannot be read, or PyAV is not
                installed.
        """
        with_video = self.enhancer.with_video
        if with_video is None:
            raise UserError(self._blind())
        most = sys.maxsize if math.isinf(seconds) else math.ceil(seconds * RATE)
        try:
            return video_files.read(path, with_video.crop, most).frames
        except BadVideoError as error:
            raise UserError(f"{path}: {error}") from error

    def _frames(self, video: Any) -> np.ndarray | None:
        """Returns a video that was checked, or None."""
        with_video = self.enhancer.with_video
        if video is None:
            if with_video and not self._said:
                self._said = True
                _log.warning(without_video(self.enhancer.config, "give video=frames"))
            return None
        if with_video is None:
            raise UserError(self._blind())
        frames = np.asarray(video)
        if frames.dtype != np.uint8 or frames.ndim != 3:
            raise UserError(
                f"video is {frames.dtype} of {_shape(frames)}: give uint8 [frames, height, width]"
            )
        with_video.crop.require(frames)
        return frames

    def _blind(self) -> str:
        return f"a network of config.recipe={self.enhancer.config.recipe} sees no videos"

    def stream(self) -> Stream:
        """Returns a new stream: an object with `push(samples)` and `finish()`.

        The first call compiles the step, which takes seconds.

        Raises:
            UserError: the network needs whole recordings.
        """
        streaming = self.enhancer.denoiser.streaming
        if streaming is None:
            raise UserError(OFFLINE)
        device = jax.local_devices()[0]
        params = jax.device_put(self.enhancer.params, device)
        start = jax.device_put(streaming.start(), device)
        step = functools.partial(jax.jit(streaming.step), params)
        hop = self.enhancer.front_end.hop
        jax.block_until_ready(step(start, np.zeros(hop, np.float32)))
        return Stream(step, start, hop)

    def _enhance(self, wave: np.ndarray, rate: int, video: np.ndarray | None) -> np.ndarray:
        """Returns a waveform, float32 [n, 1], enhanced: float32 [n]."""
        low = np.concatenate(list(resample([wave], rate, SAMPLE_RATE, 1)))
        clips = [(0, low[:, 0], video)] if len(low) else []
        blocks = [made[:, None] for _, made in enhance_clips(self.enhancer, clips)]
        blocks.append(FLUSH)
        return np.concatenate(list(resample(blocks, SAMPLE_RATE, rate, 1)))[: len(wave), 0]


def as_float32(samples: np.ndarray) -> np.ndarray:
    """Returns samples of any of the `TYPES` as float32 with full scale 1.0."""
    return audio.to_float(samples) if samples.dtype == np.int16 else samples.astype(np.float32)


def of_type(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns float32 samples with full scale 1.0 as one of the `TYPES`."""
    return audio.to_int16(samples) if dtype == np.int16 else samples.astype(dtype)


def as_array(samples: Any) -> np.ndarray:
    """Returns samples as an array in the byte order of this machine.

    Raises:
        UserError: they are channels of different lengths.
    """
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise UserError("samples are not an array: its channels differ in length") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check(samples: np.ndarray, sample_rate: Any) -> None:
    """Raises UserError if samples or their rate cannot be enhanced."""
    shape = _shape(samples)
    if samples.dtype.name not in TYPES:
        raise UserError(f"samples are {samples.dtype}: give {', '.join(TYPES)}")
    if samples.ndim not in (1, 2):
        raise UserError(f"samples are an array of {shape}: give [n] or [channels, n]")
    if samples.ndim == 2 and samples.size and len(samples) > min(MOST_CHANNELS, samples.shape[1]):
        raise UserError(f"samples are {shape}, but channels come first: give samples.T")
    if not np.isfinite(samples).all():
        raise UserError("samples contain NaN or infinite values")
    if samples.dtype.kind == "f":
        try:
            audio.check_scale(samples)
        except audio.BadAudioError as error:
            raise UserError(f"{error}: divide them, or give int16") from error
    try:
        usable = LOWEST_RATE <= sample_rate <= HIGHEST_RATE and int(sample_rate) == sample_rate
    except (TypeError, ValueError):  # a string, None, an array
        usable = False
    if not usable:
        raise UserError(f"sample_rate={sample_rate!r}: give a whole number of Hz, such as 16000")


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "no dimension"
