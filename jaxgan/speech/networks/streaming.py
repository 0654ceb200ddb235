"""Advances a stream by one frame, whatever causal network estimates its spectrum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.speech.networks.stft import FrontEnd, frames_of, overlap_add, spectra


class StreamState(NamedTuple):
    """What a stream remembers of the samples before.

    Attributes:
        block: float32 [hop], the last samples: the first half of the next frame.
        overlap: float32 [hop], the second half of the last enhanced frame.
        memory: the memory of the network.
    """

    block: jax.Array
    overlap: jax.Array
    memory: Any


def start_stream(front_end: FrontEnd, memory: Any) -> StreamState:
    """Returns the state before the first sample of a stream.

    Args:
        front_end: window and hop.
        memory: the memory of the network before the first frame.
    """
    silence = jnp.zeros(front_end.hop)
    return StreamState(silence, silence, memory)


def advance_stream(
    front_end: FrontEnd,
    estimate: Callable[[jax.Array, Any], tuple[jax.Array, Any]],
    state: StreamState,
    noisy: jax.Array,
) -> tuple[StreamState, jax.Array]:
    """Advances a stream by one frame.

    With a block of zeros after the last one, the results are those of enhancing the whole signal.

    Args:
        front_end: window and hop.
        estimate: (noisy spectrum complex64 [1, 1, bins], memory) -> the enhanced spectrum, and the
            memory after this frame.
        state: after the blocks before.
        noisy: float32 [hop], full scale 1: the next samples.

    Returns:
        The state after them, and the enhanced samples of the block before, float32 [hop].
    """
    spectrum = spectra(jnp.concatenate([state.block, noisy])[None, None], front_end)
    made, memory = estimate(spectrum, state.memory)
    frame = frames_of(made, front_end)[0, 0]
    enhanced = overlap_add(state.overlap, frame[: front_end.hop], front_end)
    return StreamState(noisy, frame[front_end.hop :], memory), enhanced
