"""The interface of a trained enhancer, whatever its network is."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxgan.core.state import PyTree
from jaxgan.speech.networks.stft import FrontEnd


class Denoiser(NamedTuple):
    """An enhancer without its parameters.

    Attributes:
        front_end: the sample rate, and the hop that padded lengths are multiples of.
        enhance: (parameters of G, noisy float32 [B, T], lengths int [B]) -> float32 [B, T], zero
            after the end of each utterance; see `masking.enhance`.
    """

    front_end: FrontEnd
    enhance: Callable[[PyTree, jax.Array, jax.Array], jax.Array]
