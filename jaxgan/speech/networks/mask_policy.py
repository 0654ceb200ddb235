"""The interface for algorithms that try other masks than the enhancer's own."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.data.videos import VideoArrays, count_frames, gather
from jaxgan.speech.networks.audiovisual import (
    AudioVisual,
    Choose,
    code_frames,
    init_separator,
    separate_with_masks,
)
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    enhance_with_masks,
    init_generator,
    predict_mask,
)
from jaxgan.speech.networks.stft import magnitude, stft, valid_frames


@dataclasses.dataclass(frozen=True)
class MaskPolicy:
    """An enhancer that multiplies a representation of the noisy speech by a mask.

    Attributes:
        init: (key) -> the initial variables.
        enhance: (parameters, batch, choose, inputs that all batches share) -> the network's own
            mask, float32 [B, frames, bins]; and the speech enhanced with each of the K masks that
            `choose` makes of it, float32 [B, K, T], zero after the end of each utterance.
        valid: (lengths in samples, int [B]; the number of frames) -> bool [B, frames], false for
            padding.
    """

    init: Callable[[jax.Array], PyTree]
    enhance: Callable[..., tuple[jax.Array, jax.Array]]
    valid: Callable[[jax.Array, int], jax.Array]


def of_spectrum(static: Masking) -> MaskPolicy:
    """Returns the policy of a network that masks a spectral feature."""

    def enhance(params: PyTree, batch: Batch, choose: Choose) -> tuple[jax.Array, jax.Array]:
        spectrum = stft(as_float(batch.noisy), static.front_end)
        feature = static.compress(magnitude(spectrum))
        mask = predict_mask(static, params, feature, batch.lengths)
        return mask, enhance_with_masks(static, choose(mask), spectrum, batch.lengths)

    def valid(lengths: jax.Array, count: int) -> jax.Array:
        return valid_frames(lengths, count, static.front_end)

    return MaskPolicy(functools.partial(init_generator, static), enhance, valid)


def of_video(static: AudioVisual) -> MaskPolicy:
    """Returns the policy of an audio-visual network, whose shared input is the corpus's videos.

    The network sees the video of the target talker. Masks are those of the learned encoder's code.
    """

    def enhance(
        params: PyTree, batch: Batch, choose: Choose, videos: VideoArrays
    ) -> tuple[jax.Array, jax.Array]:
        count = count_frames(batch.noisy.shape[1])
        frames, seen = gather(videos, batch.index, count, jnp.array(False))
        noisy = as_float(batch.noisy)
        return separate_with_masks(
            static,
            params,
            noisy,
            batch.lengths,
            frames,
            seen,
            lambda mask: jnp.clip(choose(mask), 0, 1),
        )

    def valid(lengths: jax.Array, count: int) -> jax.Array:
        return code_frames(lengths, count, static.separator.stride)

    return MaskPolicy(functools.partial(init_separator, static), enhance, valid)
