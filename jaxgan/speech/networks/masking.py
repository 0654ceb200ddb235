"""Enhancement by a mask: from waveform to feature to masked feature, and back to a waveform."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.core.state import PyTree
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.networks.spectrogram import MaskGenerator
from jaxgan.speech.networks.stft import FrontEnd, istft, magnitude, stft

FULL_SCALE = 32768  # int16 samples are divided by this


@dataclasses.dataclass(frozen=True)
class Masking:
    """All that is fixed about an enhancer.

    Attributes:
        front_end: frames.
        generator: the network that gives the mask.
        feature: "linear", the magnitude, or "log1p", log(1 + magnitude). The mask multiplies it.
    """

    front_end: FrontEnd
    generator: MaskGenerator
    feature: str

    def compress(self, magnitudes: jax.Array) -> jax.Array:
        """Magnitudes (full scale 1, not divided by the window's length) -> feature."""
        return jnp.log1p(magnitudes) if self.feature == "log1p" else magnitudes

    def expand(self, feature: jax.Array) -> jax.Array:
        """Feature -> magnitudes."""
        return jnp.expm1(feature) if self.feature == "log1p" else feature

    def feature_of(self, waveform: jax.Array) -> jax.Array:
        """Waveform float32 [B, T] -> feature [B, frames, bins]."""
        return self.compress(magnitude(stft(waveform, self.front_end)))

    def frames(self, lengths: jax.Array) -> jax.Array:
        """Samples int [B] -> valid frames int [B]."""
        return self.front_end.frames(lengths)


def make_masking(config: ConfigDict) -> Masking:
    """The enhancer of a config: its keys front_end, generator, feature and dtype."""
    return Masking(
        front_end=FrontEnd(**config.front_end),
        generator=MaskGenerator(**config.generator, dtype=jnp.dtype(config.dtype)),
        feature=config.feature,
    )


def init_generator(masking: Masking, key: jax.Array) -> PyTree:
    """Returns the initial variables of the generator."""
    feature = jnp.zeros((1, 1, masking.front_end.bins))
    return masking.generator.init(key, feature, jnp.ones((1,), jnp.int32))


def as_float(waveform: jax.Array) -> jax.Array:
    """int16 samples -> float32 in [-1, 1)."""
    return waveform.astype(jnp.float32) / FULL_SCALE


def as_int16(waveform: jax.Array) -> jax.Array:
    """float32 samples, full scale 1 -> int16, rounded; what is louder is clipped."""
    return jnp.clip(jnp.round(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(jnp.int16)


def masked_feature(
    masking: Masking,
    params: PyTree,
    noisy_feature: jax.Array,
    lengths: jax.Array,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """The mask times the noisy feature, [B, frames, bins].

    Args:
        masking: what is fixed.
        params: of the generator.
        noisy_feature: [B, frames, bins].
        lengths: int [B], samples.
        dropout_key: given in training only.
    """
    mask: jax.Array = masking.generator.apply(  # type: ignore[assignment]
        {"params": params},
        noisy_feature,
        masking.frames(lengths),
        train=dropout_key is not None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return mask * noisy_feature


def resynthesise(
    masking: Masking, feature: jax.Array, noisy_spectrum: jax.Array, lengths: jax.Array
) -> jax.Array:
    """The waveform with the feature's magnitudes and the noisy speech's phase, float32 [B, T]."""
    noisy_magnitude = magnitude(noisy_spectrum)
    # Where the noisy speech is zero it has no phase; the feature is zero there, too.
    phase = noisy_spectrum / jnp.where(noisy_magnitude > 0, noisy_magnitude, 1)
    return istft(masking.expand(feature) * phase, lengths, masking.front_end)


def enhance(
    masking: Masking,
    params: PyTree,
    noisy: jax.Array,
    lengths: jax.Array,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Enhanced waveforms.

    Args:
        masking: what is fixed.
        params: of the generator.
        noisy: float32 [B, T], full scale 1, zero behind each utterance; T is a multiple of the hop.
        lengths: int [B], samples.
        dropout_key: given in training only.

    Returns:
        float32 [B, T], zero behind each utterance.
    """
    spectrum = stft(noisy, masking.front_end)
    feature = masking.compress(magnitude(spectrum))
    masked = masked_feature(masking, params, feature, lengths, dropout_key)
    return resynthesise(masking, masked, spectrum, lengths)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config whose generator is a mask network."""
    masking = make_masking(config)
    return Denoiser(masking.front_end, functools.partial(enhance, masking))
