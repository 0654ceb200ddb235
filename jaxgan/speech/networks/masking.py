"""Enhances speech with a mask: from the waveform to a masked feature and back to a waveform."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.speech.networks.denoiser import Denoiser, Streaming
from jaxgan.speech.networks.spectrogram import MaskGenerator, Memory
from jaxgan.speech.networks.stft import (
    FrontEnd,
    fourier_matrices,
    istft,
    magnitude,
    stft,
)
from jaxgan.speech.networks.streaming import StreamState, advance_stream, start_stream

FULL_SCALE = 32768  # the int16 value that stands for 1.0


@dataclasses.dataclass(frozen=True)
class Masking:
    """The static part of an enhancer that predicts a mask.

    Attributes:
        front_end: the parameters of the STFT.
        generator: the network that predicts the mask.
        feature: what the mask multiplies: "linear" for the magnitude, "log1p" for
            log(1 + magnitude).
    """

    front_end: FrontEnd
    generator: MaskGenerator
    feature: str

    def compress(self, magnitudes: jax.Array) -> jax.Array:
        """Converts magnitudes (full scale 1, not divided by the window's length) to the feature."""
        return jnp.log1p(magnitudes) if self.feature == "log1p" else magnitudes

    def expand(self, feature: jax.Array) -> jax.Array:
        """Converts the feature to magnitudes: the inverse of `compress`."""
        return jnp.expm1(feature) if self.feature == "log1p" else feature

    def feature_of(self, waveform: jax.Array) -> jax.Array:
        """Returns the feature of waveforms float32 [B, T]: float32 [B, frames, bins]."""
        return self.compress(magnitude(stft(waveform, self.front_end)))

    def frames(self, lengths: jax.Array) -> jax.Array:
        """Returns the number of valid frames of signals with `lengths` samples, int [B]."""
        return self.front_end.frames(lengths)


def make_masking(config: ConfigDict) -> Masking:
    """Builds the enhancer from a config's keys front_end, generator, feature and dtype."""
    # Runs that were trained while there was a choice of cuDNN's LSTM still enhance.
    generator = {key: value for key, value in config.generator.items() if key != "cudnn"}
    return Masking(
        front_end=FrontEnd(**config.front_end),
        generator=MaskGenerator(**generator, dtype=jnp.dtype(config.dtype)),
        feature=config.feature,
    )


def init_generator(masking: Masking, key: jax.Array) -> PyTree:
    """Returns the initial variables of the generator."""
    feature = jnp.zeros((1, 1, masking.front_end.bins))
    return masking.generator.init(key, feature, jnp.ones((1,), jnp.int32))


def as_float(waveform: jax.Array) -> jax.Array:
    """Converts int16 samples to float32 in [-1, 1)."""
    return waveform.astype(jnp.float32) / FULL_SCALE


def as_int16(waveform: jax.Array) -> jax.Array:
    """Rounds float32 samples (full scale 1) to int16 and clips louder ones."""
    return jnp.clip(jnp.round(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(jnp.int16)


def predict_mask(
    masking: Masking,
    params: PyTree,
    noisy_feature: jax.Array,
    lengths: jax.Array,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Returns the generator's mask, float32 [B, frames, bins].

    Args:
        masking: the static part of the enhancer.
        params: the generator's parameters.
        noisy_feature: float32 [B, frames, bins].
        lengths: int [B], in samples.
        dropout_key: the random key for dropout; None, outside of training, for no dropout.
    """
    mask: jax.Array = masking.generator.apply(  # type: ignore[assignment]
        {"params": params},
        noisy_feature,
        masking.frames(lengths),
        train=dropout_key is not None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return mask


def masked_feature(
    masking: Masking,
    params: PyTree,
    noisy_feature: jax.Array,
    lengths: jax.Array,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Returns the mask of `predict_mask` times the noisy feature, float32 [B, frames, bins]."""
    return predict_mask(masking, params, noisy_feature, lengths, dropout_key) * noisy_feature


def resynthesise(
    masking: Masking, feature: jax.Array, noisy_spectrum: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Returns waveforms with the magnitudes of a feature and the phase of the noisy speech.

    Args:
        masking: the static part of the enhancer.
        feature: float32 [B, frames, bins].
        noisy_spectrum: complex64 [B, frames, bins].
        lengths: int [B], in samples.

    Returns:
        float32 [B, (frames - 1) * hop], zero after the end of each utterance.
    """
    return istft(with_phase(masking, feature, noisy_spectrum), lengths, masking.front_end)


def with_phase(masking: Masking, feature: jax.Array, noisy_spectrum: jax.Array) -> jax.Array:
    """Returns the spectrum with the magnitudes of a feature and the phase of the noisy speech.

    Args:
        masking: the static part of the enhancer.
        feature: float32 [B, frames, bins].
        noisy_spectrum: complex64 [B, frames, bins].

    Returns:
        complex64 [B, frames, bins].
    """
    noisy_magnitude = magnitude(noisy_spectrum)
    # The phase is undefined where the noisy spectrum is zero; the feature is zero there, too.
    phase = noisy_spectrum / jnp.where(noisy_magnitude > 0, noisy_magnitude, 1)
    return masking.expand(feature) * phase


def enhance(
    masking: Masking,
    params: PyTree,
    noisy: jax.Array,
    lengths: jax.Array,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Enhances waveforms.

    Args:
        masking: the static part of the enhancer.
        params: the generator's parameters.
        noisy: float32 [B, T], full scale 1, zero after the end of each utterance; T is a multiple
            of the hop.
        lengths: int [B], in samples.
        dropout_key: the random key for dropout; None, outside of training, for no dropout.

    Returns:
        float32 [B, T], zero after the end of each utterance.
    """
    spectrum = stft(noisy, masking.front_end)
    feature = masking.compress(magnitude(spectrum))
    masked = masked_feature(masking, params, feature, lengths, dropout_key)
    return resynthesise(masking, masked, spectrum, lengths)


def enhance_with_masks(
    masking: Masking, masks: jax.Array, spectrum: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Returns each noisy utterance enhanced with K masks, float32 [B, K, T].

    Args:
        masking: the static part of the enhancer.
        masks: float32 [B, K, frames, bins], which are clipped to the values that a mask may have.
        spectrum: the spectrum of the noisy speech, complex64 [B, frames, bins].
        lengths: int32 [B], samples.
    """
    rows, count = masks.shape[:2]
    masks = jnp.clip(masks, masking.generator.floor, masking.generator.highest)
    feature = masks * masking.compress(magnitude(spectrum))[:, None]
    spectrum, lengths = (jnp.repeat(each, count, axis=0) for each in (spectrum, lengths))
    enhanced = resynthesise(masking, feature.reshape(spectrum.shape), spectrum, lengths)
    return enhanced.reshape(rows, count, -1)


def enhance_frames(masking: Masking, params: PyTree, frames: jax.Array) -> jax.Array:
    """Enhances the frames of one utterance with real arithmetic only.

    This is `enhance` for formats that do not support Fourier transforms or complex numbers well.

    Args:
        masking: the static part of the enhancer.
        params: the generator's parameters.
        frames: float32 [T, window], not yet windowed: frame t begins t - 1 hops after the first
            sample, and what is before the first sample and after the last one is zero.

    Returns:
        float32 [T, window]: frames that add up to the enhanced signal where they overlap.
    """
    analysis, synthesis = fourier_matrices(masking.front_end)
    real, imaginary = jnp.split(jnp.matmul(frames, analysis)[None], 2, axis=-1)
    noisy_magnitude = jnp.sqrt(real**2 + imaginary**2)
    samples = jnp.full((1,), (frames.shape[0] - 1) * masking.front_end.hop, jnp.int32)
    feature = masked_feature(masking, params, masking.compress(noisy_magnitude), samples)
    gain = masking.expand(feature) / jnp.where(noisy_magnitude > 0, noisy_magnitude, 1)
    spectrum = jnp.concatenate([real * gain, imaginary * gain], axis=-1)[0]
    return jnp.matmul(spectrum, synthesis)


def enhance_block(
    masking: Masking, params: PyTree, state: StreamState, noisy: jax.Array
) -> tuple[StreamState, jax.Array]:
    """Advances a stream by one frame of a causal generator; see `streaming.advance_stream`."""

    def estimate(spectrum: jax.Array, memory: Memory) -> tuple[jax.Array, Memory]:
        feature = masking.compress(magnitude(spectrum))
        advanced: tuple[jax.Array, Memory] = masking.generator.apply(  # type: ignore[assignment]
            {"params": params}, feature, memory, method="advance"
        )
        mask, after = advanced
        return with_phase(masking, mask * feature, spectrum), after

    return advance_stream(masking.front_end, estimate, state, noisy)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config whose generator is a mask network."""
    masking = make_masking(config)
    bind = functools.partial

    def start() -> StreamState:
        memory = masking.generator.initial_memory(1, masking.front_end.bins)
        return start_stream(masking.front_end, memory)

    streaming = Streaming(start, bind(enhance_block, masking))
    return Denoiser(
        masking.front_end,
        bind(enhance, masking),
        streaming if masking.generator.causal else None,
        bind(enhance_frames, masking),
    )
