"""The perceptual model of PESQ (ITU-T P.862): from aligned signals to disturbances per frame.

Arrays are [B, frames] or [B, frames, bands]. Band 0 of the recommendation, which contains the mean
of a frame, enters no sum and is left out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.scores.device.arrays import safe_sqrt, shift
from jaxgan.scores.device.pesq_constants import Tables

# A band counts for the average spectrum if it exceeds the hearing threshold by this factor (20 dB).
_CLEARLY_AUDIBLE = 100.0
_SPEECH_POWER = 1e7
# Weights of the previous gain and of the current ratio in the smoothing of the gain.
_PREVIOUS_WEIGHT, _CURRENT_WEIGHT = 0.2, 0.8
_DEAD_ZONE = 0.25
# Ratios of powers; raised to 1.2 they are the limits 3 and 12 of the asymmetry factor.
_LOWEST_RATIO, _HIGHEST_RATIO = 3.0 ** (1 / 1.2), 12.0 ** (1 / 1.2)
_TINY = 1e-30
"""Replaces 0 before a logarithm. Selecting before the logarithm keeps the loop free of branches,
which is five times as fast on a CPU as selecting after the exponential."""


class Reference(NamedTuple):
    """The equalised reference.

    Attributes:
        power: [B, frames, bands], equalised band powers.
        energy: [B, frames], sum of the audible band powers.
        loudness: [B, frames, bands], in sone/Bark.
        excerpt: (first, last) frame of the speech, int32 [B] each.
    """

    power: jax.Array
    energy: jax.Array
    loudness: jax.Array
    excerpt: tuple[jax.Array, jax.Array]


def band_powers(frames: jax.Array, tables: Tables) -> jax.Array:
    """Returns the Bark band powers [..., bands] of Hann-windowed frames [..., frame].

    The function applies the window.
    """
    window = 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(tables.frame) / tables.frame))
    spectrum = jnp.fft.rfft(frames * jnp.asarray(window, frames.dtype))[..., 1:-1]
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.asarray(tables.bands, power.dtype)
    return jnp.matmul(power, bands, precision=lax.Precision.HIGHEST)


def split_frames(signals: jax.Array, hop: int) -> jax.Array:
    """Returns frames [..., S / hop, 2 * hop] of signals [..., S] with an overlap of one half.

    The second half of the last frame is zero.
    """
    blocks = signals.reshape(*signals.shape[:-1], -1, hop)
    following = [(0, 0)] * (blocks.ndim - 2) + [(0, 1), (0, 0)]
    return jnp.concatenate([blocks, jnp.pad(blocks, following)[..., 1:, :]], -1)


def find_excerpt(
    reference: jax.Array, lengths: jax.Array, tables: Tables
) -> tuple[jax.Array, jax.Array]:
    """Returns the first and the last frame of the speech in the reference.

    They follow from the first and the last place where the magnitudes of five consecutive samples
    sum to 500 or more.

    Args:
        reference: [B, S] after the input filter.
        lengths: int32 [B], samples.
        tables: the tables of the sample rate.

    Returns:
        int32 [B] each; last < first if there is no such place.
    """
    size, hop = reference.shape[-1], tables.hop
    magnitude = jnp.pad(jnp.abs(reference), ((0, 0), (0, 4)))
    loud = sum(magnitude[:, i : i + size] for i in range(5)) >= 500.0
    # Minima and maxima of positions are many times faster on a CPU than argmax.
    position = jnp.arange(size)
    first_loud = jnp.min(jnp.where(loud, position, size), -1)
    last_loud = jnp.max(jnp.where(loud, position, -size), -1)
    total = lengths + tables.tail
    furthest = (lengths + 2 * tables.guard) // 2
    first = jnp.minimum(first_loud, furthest) // hop
    last = (total - jnp.minimum(total - 5 - last_loud, furthest)) // hop - 1
    return first.astype(jnp.int32), last.astype(jnp.int32)


def equalise(
    reference_power: jax.Array,
    estimate_power: jax.Array,
    lengths: jax.Array,
    excerpt: tuple[jax.Array, jax.Array],
    tables: Tables,
) -> Reference:
    """Returns the reference equalised to the estimate's average spectrum, by up to 20 dB per band.

    Args:
        reference_power: [B, frames, bands].
        estimate_power: [B, frames, bands].
        lengths: int32 [B], samples.
        excerpt: (first, last) frame of the speech, from `find_excerpt`.
        tables: the tables of the sample rate.
    """
    threshold = _CLEARLY_AUDIBLE * jnp.asarray(tables.threshold, reference_power.dtype)
    clear = jnp.where(reference_power > threshold, reference_power, 0.0)
    clear_estimate = jnp.where(estimate_power > threshold, estimate_power, 0.0)
    frame = jnp.arange(reference_power.shape[1])
    speech = (jnp.sum(clear, -1) >= _SPEECH_POWER) & (frame <= excerpt[1][:, None])
    count = ((lengths + tables.tail) // tables.hop - 1).astype(reference_power.dtype)[:, None]

    def average(power: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(speech[..., None], power, 0.0), 1) / count

    ratio = (average(clear_estimate) + 1000.0) / (average(clear) + 1000.0)
    power = reference_power * jnp.clip(ratio, 0.01, 100.0)[:, None]
    return Reference(power, _audible_energy(power, tables), _loudness(power, tables), excerpt)


def disturbances(
    reference: Reference, estimate_power: jax.Array, restart: jax.Array | None, tables: Tables
) -> tuple[jax.Array, jax.Array]:
    """Returns the (symmetric, asymmetric) disturbance, [B, frames] each, without energy weighting.

    Args:
        reference: the reference that `equalise` returns.
        estimate_power: [B, frames, bands].
        restart: bool [B, frames], frames at which the smoothing of the gain restarts from 1; None
            for no restarts.
        tables: the tables of the sample rate.
    """
    energy = _audible_energy(estimate_power, tables)
    gain = _smooth((reference.energy + 5000.0) / (energy + 5000.0), restart)
    power = estimate_power * jnp.clip(gain, 3e-4, 5.0)[..., None]
    loudness = _loudness(power, tables)
    difference = jnp.abs(loudness - reference.loudness)
    masked = _DEAD_ZONE * jnp.minimum(loudness, reference.loudness)
    disturbance = jnp.maximum(difference - masked, 0.0)
    sum_of_squares = _weighted_sum(jnp.square(disturbance), tables.width**2)
    symmetric = safe_sqrt(float(tables.width.sum()) * sum_of_squares)
    ratio = (power + 50.0) / (reference.power + 50.0)
    ratio = jnp.where(ratio < _LOWEST_RATIO, _TINY, jnp.minimum(ratio, _HIGHEST_RATIO))
    asymmetry = jnp.exp(1.2 * jnp.log(ratio))
    return symmetric, _weighted_sum(asymmetry * disturbance, tables.width)


def weight_by_energy(disturbance: jax.Array, energy: jax.Array) -> jax.Array:
    """Returns disturbances [B, frames] divided by energy to the power 0.04, and limited to 45."""
    return jnp.minimum(disturbance / jnp.exp(0.04 * jnp.log((energy + 1e5) / 1e7)), 45.0)


def average_over_time(
    disturbance: jax.Array, lengths: jax.Array, excerpt: tuple[jax.Array, jax.Array], hop: int
) -> jax.Array:
    """Returns the average disturbance [B] of disturbances [B, frames] over the speech.

    It is the L2 mean over syllables, 10 frames apart, of the L6 mean over the 20 frames of each. In
    recordings of more than 1000 frames later syllables have larger weights.

    Args:
        disturbance: [B, frames], from `weight_by_energy`.
        lengths: int32 [B], samples.
        excerpt: (first, last) frame of the speech, from `find_excerpt`.
        hop: samples between the starts of neighbouring frames.
    """
    first, last = (edge[:, None] for edge in excerpt)
    position = first + jnp.arange(disturbance.shape[1])
    moved = jnp.take_along_axis(disturbance, position, 1, mode="fill", fill_value=0.0)
    moved = jnp.where(position <= last, moved, 0.0)
    syllables = -(-disturbance.shape[1] // 10)
    moved = jnp.pad(moved, ((0, 0), (0, syllables * 10 - moved.shape[1])))
    moved = moved.reshape(-1, syllables, 10)
    following = jnp.pad(moved[:, 1:], ((0, 0), (0, 1), (0, 0)))
    syllable = _l6_mean(jnp.concatenate([moved, following], -1))
    start = 10 * jnp.arange(syllables)
    frames = (lengths // hop - 1).astype(disturbance.dtype)[:, None]
    tilt = jnp.minimum((frames - 1000.0) / 5500.0, 0.5)
    rising = 1.0 - tilt + tilt * start / jnp.maximum(frames, 1.0)
    weight = jnp.where(last + 1 > 1000, rising, 1.0)
    square = jnp.square(jnp.where(start <= last - first, weight, 0.0))
    total = jnp.sum(square, -1)
    mean = jnp.sum(square * jnp.square(syllable), -1) / jnp.where(total > 0, total, 1.0)
    return safe_sqrt(mean)


def _audible_energy(power: jax.Array, tables: Tables) -> jax.Array:
    """Returns the sum [B, frames] of the band powers above the hearing threshold."""
    threshold = jnp.asarray(tables.threshold, power.dtype)
    return _weighted_sum(jnp.where(power > threshold, power, 0.0), np.ones_like(tables.width))


def _weighted_sum(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """Returns the weighted sums [...] of values [..., bands].

    A matrix product, because XLA's sums are slow on a CPU.
    """
    return jnp.matmul(values, jnp.asarray(weights, values.dtype), precision=lax.Precision.HIGHEST)


def _loudness(power: jax.Array, tables: Tables) -> jax.Array:
    """Returns loudness in sone/Bark by Zwicker's law, 0 below the hearing threshold."""
    threshold, exponent, factor = (
        jnp.asarray(table, power.dtype)
        for table in (tables.threshold, tables.exponent, tables.loudness)
    )
    base = jnp.where(power > threshold, 0.5 + 0.5 / threshold * power, 1.0)
    return factor * (jnp.exp(exponent * jnp.log(base)) - 1.0)


def _smooth(ratio: jax.Array, restart: jax.Array | None) -> jax.Array:
    """Returns s(t) = 0.2 s(t-1) + 0.8 u(t) with s(0) = u(0), where a restart sets s(t-1) to 1."""
    decay = jnp.full_like(ratio, _PREVIOUS_WEIGHT).at[:, 0].set(0.0)
    smoothed = (_CURRENT_WEIGHT * ratio).at[:, 0].set(ratio[:, 0])
    if restart is not None:
        smoothed = jnp.where(restart, _PREVIOUS_WEIGHT + _CURRENT_WEIGHT * ratio, smoothed)
        decay = jnp.where(restart, 0.0, decay)

    # Four doubling steps sum 16 terms of the recursion; 0.2 to the power 16 is negligible.
    for distance in (1, 2, 4, 8):
        smoothed = smoothed + decay * shift(smoothed, distance)
        decay = decay * shift(decay, distance)
    return smoothed


def _l6_mean(values: jax.Array) -> jax.Array:
    """Returns the L6 mean over the last axis, scaled so that float32 does not overflow."""
    peak = lax.stop_gradient(jnp.max(values, -1, keepdims=True))
    peak = jnp.where(peak > 0, peak, 1.0)
    mean = jnp.mean((values / peak) ** 6, -1)
    positive = mean > 0
    root = jnp.where(positive, mean, 1.0) ** (1.0 / 6.0)
    return jnp.where(positive, root * peak[..., 0], 0.0)
