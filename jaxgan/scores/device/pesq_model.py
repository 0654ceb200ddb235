"""The perceptual model of PESQ (ITU-T P.862): from aligned signals to disturbances per frame.

Everything is per pair and per frame: arrays are [B, frames] and [B, frames, bands]. Band 0 of the
recommendation, the mean of a frame, never counts and is left out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.scores.device.pesq_constants import Tables

_AUDIBLE_TWICE_OVER = 100.0
_SILENT_BELOW = 1e7
_KEEP, _NEW = 0.2, 0.8
_DEAD_ZONE = 0.25
# Of powers; raised to 1.2 they are the limits 3 and 12 of the asymmetry factor.
_LEAST_RATIO, _GREATEST_RATIO = 3.0 ** (1 / 1.2), 12.0 ** (1 / 1.2)
_NOTHING = 1e-30
"""Stands for 0 under a logarithm. A choice made before the logarithm keeps loops without branches,
which on a CPU is five times as fast as one made after the exponential."""


class Reference(NamedTuple):
    """What the reference alone, and its equalisation, give.

    Attributes:
        power: [B, frames, bands], equalised.
        energy: [B, frames], its audible part.
        loudness: [B, frames, bands], sone/Bark.
        excerpt: (first, last) frame of the speech, int32 [B] each.
    """

    power: jax.Array
    energy: jax.Array
    loudness: jax.Array
    excerpt: tuple[jax.Array, jax.Array]


def band_powers(frames: jax.Array, tables: Tables) -> jax.Array:
    """[..., frame] -> [..., bands]: power in Bark bands of Hann-windowed frames."""
    window = 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(tables.frame) / tables.frame))
    spectrum = jnp.fft.rfft(frames * jnp.asarray(window, frames.dtype))[..., 1:-1]
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.asarray(tables.bands, power.dtype)
    return jnp.matmul(power, bands, precision=lax.Precision.HIGHEST)


def split_frames(signals: jax.Array, hop: int) -> jax.Array:
    """[..., S] -> [..., S / hop, 2 * hop]: frames that overlap by half, the last half empty."""
    blocks = signals.reshape(*signals.shape[:-1], -1, hop)
    following = [(0, 0)] * (blocks.ndim - 2) + [(0, 1), (0, 0)]
    return jnp.concatenate([blocks, jnp.pad(blocks, following)[..., 1:, :]], -1)


def find_excerpt(
    reference: jax.Array, lengths: jax.Array, tables: Tables
) -> tuple[jax.Array, jax.Array]:
    """The first and last frame of the reference that five loud samples in a row delimit.

    Args:
        reference: [B, S] after the input filter.
        lengths: int32 [B], samples.
        tables: of the sample rate.

    Returns:
        int32 [B] each; last < first where nothing is loud.
    """
    size, hop = reference.shape[-1], tables.hop
    magnitude = jnp.pad(jnp.abs(reference), ((0, 0), (0, 4)))
    loud = sum(magnitude[:, i : i + size] for i in range(5)) >= 500.0
    # Minima and maxima of positions: searches (argmax) are many times slower on a CPU.
    position = jnp.arange(size)
    from_start = jnp.min(jnp.where(loud, position, size), -1)
    last_loud = jnp.max(jnp.where(loud, position, -size), -1)
    total = lengths + tables.tail
    furthest = (lengths + 2 * tables.guard) // 2
    first = jnp.minimum(from_start, furthest) // hop
    last = (total - jnp.minimum(total - 5 - last_loud, furthest)) // hop - 1
    return first.astype(jnp.int32), last.astype(jnp.int32)


def equalise(
    reference_power: jax.Array,
    estimate_power: jax.Array,
    lengths: jax.Array,
    excerpt: tuple[jax.Array, jax.Array],
    tables: Tables,
) -> Reference:
    """The reference brought to the estimate's average spectrum, within 20 dB a band."""
    threshold = _AUDIBLE_TWICE_OVER * jnp.asarray(tables.threshold, reference_power.dtype)
    clear = jnp.where(reference_power > threshold, reference_power, 0.0)
    clear_estimate = jnp.where(estimate_power > threshold, estimate_power, 0.0)
    frame = jnp.arange(reference_power.shape[1])
    speaks = (jnp.sum(clear, -1) >= _SILENT_BELOW) & (frame <= excerpt[1][:, None])
    count = ((lengths + tables.tail) // tables.hop - 1).astype(reference_power.dtype)[:, None]

    def average(power: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(speaks[..., None], power, 0.0), 1) / count

    ratio = (average(clear_estimate) + 1000.0) / (average(clear) + 1000.0)
    power = reference_power * jnp.clip(ratio, 0.01, 100.0)[:, None]
    return Reference(power, _audible(power, tables), _loudness(power, tables), excerpt)


def disturbances(
    reference: Reference, estimate_power: jax.Array, restart: jax.Array | None, tables: Tables
) -> tuple[jax.Array, jax.Array]:
    """(symmetric, asymmetric) disturbance [B, frames] before the division by frame energy.

    Args:
        reference: of `equalise`.
        estimate_power: [B, frames, bands].
        restart: bool [B, frames], where the smoothing of the gain begins anew from 1; or None.
        tables: of the sample rate.
    """
    audible = _audible(estimate_power, tables)
    gain = _smooth((reference.energy + 5000.0) / (audible + 5000.0), restart)
    power = estimate_power * jnp.clip(gain, 3e-4, 5.0)[..., None]
    loudness = _loudness(power, tables)
    difference = jnp.abs(loudness - reference.loudness)
    unheard = _DEAD_ZONE * jnp.minimum(loudness, reference.loudness)
    heard = jnp.maximum(difference - unheard, 0.0)
    symmetric = _root(float(tables.width.sum()) * _over_bands(jnp.square(heard), tables.width**2))
    ratio = (power + 50.0) / (reference.power + 50.0)
    ratio = jnp.where(ratio < _LEAST_RATIO, _NOTHING, jnp.minimum(ratio, _GREATEST_RATIO))
    asymmetry = jnp.exp(1.2 * jnp.log(ratio))
    return symmetric, _over_bands(asymmetry * heard, tables.width)


def by_energy(disturbance: jax.Array, energy: jax.Array) -> jax.Array:
    """Disturbances weigh less in loud frames, and 45 at most."""
    return jnp.minimum(disturbance / jnp.exp(0.04 * jnp.log((energy + 1e5) / 1e7)), 45.0)


def over_time(
    disturbance: jax.Array, lengths: jax.Array, excerpt: tuple[jax.Array, jax.Array], hop: int
) -> jax.Array:
    """[B, frames] -> [B]: L6 over syllables of 20 frames, L2 over the syllables, 10 frames apart.

    In files of more than 1000 frames later syllables weigh more.
    """
    first, last = (edge[:, None] for edge in excerpt)
    position = first + jnp.arange(disturbance.shape[1])
    moved = jnp.take_along_axis(disturbance, position, 1, mode="fill", fill_value=0.0)
    moved = jnp.where(position <= last, moved, 0.0)
    halves = -(-disturbance.shape[1] // 10)
    moved = jnp.pad(moved, ((0, 0), (0, halves * 10 - moved.shape[1]))).reshape(-1, halves, 10)
    following = jnp.pad(moved[:, 1:], ((0, 0), (0, 1), (0, 0)))
    syllable = _mean_of_sixth_powers(jnp.concatenate([moved, following], -1))
    start = 10 * jnp.arange(halves)
    frames = (lengths // hop - 1).astype(disturbance.dtype)[:, None]
    tilt = jnp.minimum((frames - 1000.0) / 5500.0, 0.5)
    rising = 1.0 - tilt + tilt * start / jnp.maximum(frames, 1.0)
    weight = jnp.where(last + 1 > 1000, rising, 1.0)
    square = jnp.square(jnp.where(start <= last - first, weight, 0.0))
    total = jnp.sum(square, -1)
    mean = jnp.sum(square * jnp.square(syllable), -1) / jnp.where(total > 0, total, 1.0)
    return _root(mean)


def _audible(power: jax.Array, tables: Tables) -> jax.Array:
    threshold = jnp.asarray(tables.threshold, power.dtype)
    return _over_bands(jnp.where(power > threshold, power, 0.0), np.ones_like(tables.width))


def _over_bands(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """[..., bands] -> [...]: a weighted sum, as a product since XLA's sums on a CPU are slow."""
    return jnp.matmul(values, jnp.asarray(weights, values.dtype), precision=lax.Precision.HIGHEST)


def _loudness(power: jax.Array, tables: Tables) -> jax.Array:
    """Zwicker's law: sone/Bark from band power, zero below the hearing threshold."""
    threshold, exponent, factor = (
        jnp.asarray(table, power.dtype)
        for table in (tables.threshold, tables.exponent, tables.loudness)
    )
    heard = jnp.where(power > threshold, 0.5 + 0.5 / threshold * power, 1.0)
    return factor * (jnp.exp(exponent * jnp.log(heard)) - 1.0)


def _smooth(ratio: jax.Array, restart: jax.Array | None) -> jax.Array:
    """s(t) = 0.2 s(t-1) + 0.8 u(t) with s(0) = u(0), and s(t-1) read as 1 at a restart."""
    kept = jnp.full_like(ratio, _KEEP).at[:, 0].set(0.0)
    added = (_NEW * ratio).at[:, 0].set(ratio[:, 0])
    if restart is not None:
        added = jnp.where(restart, _KEEP + _NEW * ratio, added)
        kept = jnp.where(restart, 0.0, kept)

    # Sixteen terms in four steps; 0.2 to the 16th is nothing.
    for distance in (1, 2, 4, 8):
        added = added + kept * _later(added, distance)
        kept = kept * _later(kept, distance)
    return added


def _later(values: jax.Array, frames: int) -> jax.Array:
    return jnp.pad(values, ((0, 0), (frames, 0)))[:, : values.shape[1]]


def _root(square: jax.Array) -> jax.Array:
    """The square root, with gradient 0 at 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _mean_of_sixth_powers(values: jax.Array) -> jax.Array:
    """The L6 mean over the last axis, scaled so that no power leaves float32's range."""
    peak = lax.stop_gradient(jnp.max(values, -1, keepdims=True))
    peak = jnp.where(peak > 0, peak, 1.0)
    mean = jnp.mean((values / peak) ** 6, -1)
    positive = mean > 0
    root = jnp.where(positive, mean, 1.0) ** (1.0 / 6.0)
    return jnp.where(positive, root * peak[..., 0], 0.0)
