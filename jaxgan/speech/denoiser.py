"""What a trained generator does to a waveform, whatever it is made of: the one thing users call."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.speech.networks import masking
from jaxgan.speech.networks import segan as segan_networks
from jaxgan.speech.networks.stft import FrontEnd


class Denoiser(NamedTuple):
    """An enhancer without its parameters.

    Attributes:
        front_end: sample rate, and the hop that padded lengths are multiples of.
        enhance: (parameters of G, noisy float32 [B, T], lengths int [B]) -> float32 [B, T], zero
            behind each; see `masking.enhance`.
    """

    front_end: FrontEnd
    enhance: Callable[[PyTree, jax.Array, jax.Array], jax.Array]


def make_denoiser(config: ConfigDict) -> Denoiser:
    """The enhancer that a config describes."""
    if config.get("recipe") == "segan":
        waveforms = segan_networks.make_waveforms(config)
        return Denoiser(waveforms.front_end, functools.partial(segan_networks.enhance, waveforms))
    masks = masking.make_masking(config)
    return Denoiser(masks.front_end, functools.partial(masking.enhance, masks))
