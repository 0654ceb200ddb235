"""The interface of a trained enhancer, whatever its network is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxgan.core.state import PyTree
from jaxgan.speech.data.videos import Crop
from jaxgan.speech.networks.stft import FrontEnd


class Streaming(NamedTuple):
    """A causal enhancer as a pure function of its state, without its parameters.

    Attributes:
        start: () -> the state before the first sample.
        step: (parameters of G, state, noisy float32 [hop]) -> the state after these samples, and
            the enhanced samples of the block before them, float32 [hop].
    """

    start: Callable[[], Any]
    step: Callable[[PyTree, Any, jax.Array], tuple[Any, jax.Array]]


class WithVideo(NamedTuple):
    """An enhancer that also sees the talker's mouth.

    Attributes:
        crop: the size of the frames, and where the mouth is in video files.
        enhance: (parameters of G, noisy float32 [B, T], lengths int [B], frames uint8 [B, F,
            height, width], seen bool [B, F]) -> float32 [B, T]; F is T / 640, rounded up, and
            `seen` says which frames there are.
    """

    crop: Crop
    enhance: Callable[[PyTree, jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


class Denoiser(NamedTuple):
    """An enhancer without its parameters.

    Attributes:
        front_end: the sample rate, and the hop that padded lengths are multiples of.
        enhance: (parameters of G, noisy float32 [B, T], lengths int [B]) -> float32 [B, T], zero
            after the end of each utterance; see `masking.enhance`.
        streaming: `enhance` for a stream; None if the network needs whole utterances.
        enhance_frames: (parameters of G, frames of one utterance) -> enhanced frames; see
            `masking.enhance_frames`. None if the network does not work on frames.
        with_video: `enhance` with a video; None if the network sees none.
    """

    front_end: FrontEnd
    enhance: Callable[[PyTree, jax.Array, jax.Array], jax.Array]
    streaming: Streaming | None = None
    enhance_frames: Callable[[PyTree, jax.Array], jax.Array] | None = None
    with_video: WithVideo | None = None
