"""Losses of enhancement that more than one system uses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.core.state import Metrics, PyTree
from jaxgan.methods.adversarial import least_squares
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.score import Score
from jaxgan.scores.training_scores import DeviceScore
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import Masking, as_float, masked_feature
from jaxgan.speech.networks.stft import FrontEnd, stft, valid_frames

DISTANCES: dict[str, Callable[[jax.Array], jax.Array]] = {"l1": jnp.abs, "mse": jnp.square}
"""By name, the function of the differences between two features whose mean is the distance."""
COMPRESSION, PHASE_SHARE = 0.3, 0.3
"""The constants c and beta of the compressed spectral loss (Braun and Tashev 2021)."""
SILENCE = 1e-3
"""A power that counts as silence, 53 dB below that of a typical bin: spectra of speech whose root
mean square is 1 have a mean power of about 200 in frames of 512 samples."""
REAL, FAKE = 1.0, 0.0
"""The labels that a discriminator learns for clean and for enhanced speech."""


def mask_distance(
    masking: Masking, params: PyTree, batch: Batch, key: jax.Array, distance: str
) -> jax.Array:
    """Returns the mean distance [] of the masked noisy feature from the clean feature.

    Args:
        masking: the front end and the generator.
        params: the parameters of the generator.
        batch: clean and noisy utterances; the mean is over their valid frames and all bins.
        key: for dropout.
        distance: one of `DISTANCES`.
    """
    noisy, clean = (masking.feature_of(as_float(wave)) for wave in (batch.noisy, batch.clean))
    valid = valid_frames(batch.lengths, clean.shape[1], masking.front_end)
    enhanced = masked_feature(masking, params, noisy, batch.lengths, key)
    return masked_mean(DISTANCES[distance](enhanced - clean), valid[..., None])


def score_loss(
    score: Score,
    device_score: DeviceScore,
    clean: jax.Array,
    enhanced: jax.Array,
    lengths: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the mean of 1 - score over the utterances that have one: 0 if none has.

    Args:
        score: maps raw scores to [0, 1].
        device_score: computes raw scores.
        clean: float32 [B, T].
        enhanced: float32 [B, T].
        lengths: int32 [B], samples.

    Returns:
        The loss []; the mapped scores float32 [B]; and bool [B], which utterances have a score.
    """
    raw = device_score(clean, enhanced, lengths)
    scored = jnp.isfinite(raw)
    mapped = score.normalise(jnp.where(scored, raw, score.lowest))
    return masked_mean(1 - mapped, scored), mapped, scored


def compressed_spectral_loss(
    clean: jax.Array, enhanced: jax.Array, lengths: jax.Array, front_end: FrontEnd
) -> jax.Array:
    """Returns the distance [] of compressed spectra: 0 for equal, about 1 for a silent estimate.

    It is 0.3 of the mean square difference of |S|^0.3 e^(i phase), and 0.7 of that of |S|^0.3
    (Braun and Tashev, "A consolidated view of loss functions for supervised deep learning-based
    speech enhancement", 2021, equation 5 with c = beta = 0.3), divided by the mean of |S|^0.6 of
    the clean speech. Both sides are divided by the level of the clean speech first; an utterance
    whose clean side is silent takes no part.

    Args:
        clean: float32 [B, T], zero after the end of each utterance.
        enhanced: float32 [B, T], zero after the end of each utterance.
        lengths: int32 [B], samples.
        front_end: window and hop.
    """
    inside = jnp.arange(clean.shape[1]) < lengths[:, None]
    power = masked_mean(clean**2, inside, axis=1)
    audible = power > 0
    level = jnp.sqrt(jnp.where(audible, power, 1))[:, None]
    pair = [compressed_parts(stft(side / level, front_end)) for side in (clean, enhanced)]
    of_clean, of_enhanced = pair
    valid = valid_frames(lengths, of_clean.shape[1], front_end) & audible[:, None]
    sizes = [jnp.sqrt(jnp.sum(parts**2, axis=-1) + SILENCE) for parts in pair]
    of_phase = jnp.sum((of_enhanced - of_clean) ** 2, axis=-1)
    difference = PHASE_SHARE * of_phase + (1 - PHASE_SHARE) * (sizes[1] - sizes[0]) ** 2
    scale = masked_mean(jnp.sum(of_clean**2, axis=-1), valid[..., None])
    return masked_mean(difference, valid[..., None]) / jnp.where(scale > 0, scale, 1)


def compressed_parts(spectrum: jax.Array) -> jax.Array:
    """Returns the real and the imaginary part of S |S|^-0.7: float32 [..., 2].

    The gradient is finite where S is 0, since `SILENCE` is added to |S|^2.
    """
    parts = jnp.stack([spectrum.real, spectrum.imag], axis=-1)
    power = jnp.sum(parts**2, axis=-1, keepdims=True) + SILENCE
    return parts * power ** ((COMPRESSION - 1) / 2)


def discriminator_loss(
    of_clean: jax.Array, of_enhanced: jax.Array, filled: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the least-squares loss [] of a conditional D (Mao et al. 2017), and its metrics.

    Args:
        of_clean: float32 [N], D's output for clean speech.
        of_enhanced: float32 [N], D's output for enhanced speech.
        filled: bool [N], false for padding.
    """
    value = least_squares(of_clean, REAL, filled) + least_squares(of_enhanced, FAKE, filled)
    return value, {
        "d_loss": value,
        "d_clean": masked_mean(of_clean, filled),
        "d_enhanced": masked_mean(of_enhanced, filled),
    }


def generator_loss(
    of_enhanced: jax.Array,
    filled: jax.Array,
    difference: jax.Array,
    valid: jax.Array,
    l1_weight: float,
) -> tuple[jax.Array, Metrics]:
    """Returns the loss [] of a conditional G, least squares and L1, and its metrics.

    Args:
        of_enhanced: float32 [N], D's output for enhanced speech.
        filled: bool [N], false for padding.
        difference: float32 [N, ...], of enhanced from clean speech.
        valid: bool, broadcastable to `difference`: false for padding.
        l1_weight: lambda, the weight of the mean absolute difference.
    """
    adversarial = least_squares(of_enhanced, REAL, filled)
    distance = masked_mean(jnp.abs(difference), valid)
    value = adversarial + l1_weight * distance
    return value, {"g_loss": value, "g_adversarial": adversarial, "g_distance": distance}
