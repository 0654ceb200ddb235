"""The interface of a trained enhancer, whatever its network is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxgan.core.state import PyTree
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


class Denoiser(NamedTuple):
    """An enhancer without its parameters.

    Attributes:
        front_end: the sample rate, and the hop that padded lengths are multiples of.
        enhance: (parameters of G, noisy float32 [B, T], lengths int [B]) -> float32 [B, T], zero
            after the end of each utterance; see `masking.enhance`.
        streaming: `enhance` for a stream; None if the network needs whole utterances.
        enhance_frames: (parameters of G, frames of one utterance) -> enhanced frames; see
            `masking.enhance_frames`. None if the network does not work on frames.
    """

    front_end: FrontEnd
    enhance: Callable[[PyTree, jax.Array, jax.Array], jax.Array]
    streaming: Streaming | None = None
    enhance_frames: Callable[[PyTree, jax.Array], jax.Array] | None = None
