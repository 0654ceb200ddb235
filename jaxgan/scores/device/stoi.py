"""STOI and ESTOI on the accelerator, for batches of time-aligned pairs, in JAX.

Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
(2011); Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by
Modulated Noise Maskers" (2016). As in the package `pystoi`, with its resampling to 10 kHz and its
removal of silent frames; what the package computes on lists of frames has fixed shapes here.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.core.errors import UserError
from jaxgan.scores.device.batches import batched

_RATE = 10_000
_FRAME, _HOP, _FFT = 256, 128, 512
_BANDS, _LOWEST_BAND_HZ = 15, 150.0
_SEGMENT = 30
_DYNAMIC_RANGE = 1e-4
"""Frames this far (as energy, 40 dB) below the loudest count as silent."""
_CLIP = 1.0 + 10.0 ** (15.0 / 20.0)


@batched
def stoi(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Short-time objective intelligibility, 0 to 1, higher is better.

    Differentiable but where silence and clipping are decided; minus its mean is a loss. Arguments
    and results as `batches.batched` says; sample rates that are not 10 kHz are resampled. NaN where
    fewer than 31 frames (0.4 s) of the reference are not silent too.

    Raises:
        UserError: a sample rate that is no multiple of 100.
    """
    return _score(pairs, lengths, sample_rate, _correlation)


@batched
def estoi(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Extended STOI, for modulated noises too. As `stoi`, without the package's added dither."""
    return _score(pairs, lengths, sample_rate, _extended_correlation)


def _score(
    pairs: jax.Array,
    lengths: jax.Array,
    sample_rate: int,
    compare: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """Scores [B] of pairs [2, B, T]."""
    if sample_rate <= 0 or sample_rate % 100:
        raise UserError(f"stoi takes sample rates that are multiples of 100, not {sample_rate}")
    resampled, lengths = _resample(pairs, lengths, sample_rate)
    frames, kept = _speech_frames(resampled, lengths)
    envelopes = _band_envelopes(frames)
    segments = kept - 1 - (_SEGMENT - 1)
    count = max(1, envelopes.shape[-1] - (_SEGMENT - 1))
    missing = max(0, _SEGMENT - envelopes.shape[-1])
    envelopes = jnp.pad(envelopes, [(0, 0)] * 3 + [(0, missing)])
    intelligible = compare(envelopes[0], envelopes[1], jnp.arange(count) < segments[:, None])
    score = intelligible / jnp.maximum(segments, 1).astype(pairs.dtype)
    return jnp.where(segments > 0, score, jnp.nan)


def _resample(
    signals: jax.Array, lengths: jax.Array, sample_rate: int
) -> tuple[jax.Array, jax.Array]:
    """Signals [..., B, T] at 10 kHz, and their lengths."""
    if sample_rate == _RATE:
        return signals, lengths
    up, down, response, block = _resampler(sample_rate)
    size = signals.shape[-1]
    blocks = -(-size // block)
    padding = [(0, 0)] * (signals.ndim - 1)
    padded = jnp.pad(signals, [*padding, (block, (blocks + 1) * block - size)])
    padded = padded.reshape(*signals.shape[:-1], blocks + 2, block)
    windows = jnp.concatenate([padded[..., i : i + blocks, :] for i in range(3)], -1)
    resampled = jnp.matmul(
        windows, jnp.asarray(response, signals.dtype), precision=lax.Precision.HIGHEST
    ).reshape(*signals.shape[:-1], -1)
    # In blocks and the rest of one, for the product of a length and `up` may leave int32.
    lengths = lengths // down * up + -(-(lengths % down * up) // down)
    return jnp.where(jnp.arange(resampled.shape[-1]) < lengths[:, None], resampled, 0.0), lengths


@functools.cache
def _resampler(sample_rate: int) -> tuple[int, int, np.ndarray, int]:
    """(up, down, [3 * block, block * up / down] matrix, block): Octave's polyphase resampler.

    A block of outputs hears its own block of inputs and one on each side. The filter is a sinc
    under a Kaiser window that rejects 60 dB, as in Octave's `resample`, which pystoi follows.
    """
    divisor = math.gcd(sample_rate, _RATE)
    up, down = _RATE // divisor, sample_rate // divisor
    cutoff = 1.0 / (2 * max(up, down))
    rejection = 60.0
    half = math.ceil((rejection - 8.0) / (28.714 * cutoff / 10.0))
    time = np.arange(-half, half + 1)
    window = np.kaiser(2 * half + 1, 0.1102 * (rejection - 8.7))
    taps = 2 * up * cutoff * np.sinc(2 * cutoff * time) * window
    taps *= up / taps.sum()
    reach = -(-half // up)
    periods = -(-(reach + down) // down)
    block = periods * down
    inputs = np.arange(-block, 2 * block)[:, None]
    outputs = np.arange(periods * up)
    tap = outputs * down - inputs * up + half
    inside = (tap >= 0) & (tap < len(taps))
    return up, down, np.where(inside, taps[np.clip(tap, 0, 2 * half)], 0.0), block


def _speech_frames(signals: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Frames of the signals once the reference's silent frames are cut out of both.

    Windowed frames that are not silent are moved together and overlap-added; the result is cut
    into frames again. Of K frames kept, K - 1 result.

    Args:
        signals: [2, B, S] at 10 kHz, zero from `lengths` on.
        lengths: int32 [B], samples.

    Returns:
        (frames [2, B, n, 256], zero from K on; K int32 [B]).
    """
    count = max(1, -(-(signals.shape[-1] - _FRAME) // _HOP))
    size = (count + 1) * _HOP
    blocks = jnp.pad(signals, ((0, 0), (0, 0), (0, max(0, size - signals.shape[-1]))))
    blocks = blocks[..., :size].reshape(2, -1, count + 1, _HOP)
    window = jnp.asarray(_window(), signals.dtype)
    frames = jnp.concatenate([blocks[..., :-1, :], blocks[..., 1:, :]], -1) * window
    energy = jnp.sum(jnp.square(lax.stop_gradient(frames[0])), -1)
    exists = jnp.arange(count) < -((_FRAME - lengths[:, None]) // _HOP)
    energy = jnp.where(exists, energy, -1.0)
    loud = exists & (energy > _DYNAMIC_RANGE * jnp.max(energy, -1, keepdims=True))
    order = jnp.argsort(~loud, axis=-1, stable=True)
    kept = jnp.sum(loud, -1)
    frames = jnp.take_along_axis(frames, order[None, :, :, None], 2)
    frames = jnp.where(jnp.arange(count)[:, None] < kept[:, None, None], frames, 0.0)
    first, second = frames[..., :_HOP], frames[..., _HOP:]
    before = jnp.pad(second, ((0, 0), (0, 0), (1, 0), (0, 0)))
    added = before + jnp.pad(first, ((0, 0), (0, 0), (0, 1), (0, 0)))
    return jnp.concatenate([added[:, :, :-1], added[:, :, 1:]], -1) * window, kept


def _window() -> np.ndarray:
    return np.hanning(_FRAME + 2)[1:-1]


def _band_envelopes(frames: jax.Array) -> jax.Array:
    """[..., n, 256] -> [..., bands, n]: magnitudes in third-octave bands from 150 Hz."""
    spectrum = jnp.fft.rfft(frames, _FFT)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.asarray(_third_octaves(), power.dtype)
    return _root(jnp.einsum("...nk,kb->...bn", power, bands, precision=lax.Precision.HIGHEST))


@functools.cache
def _third_octaves() -> np.ndarray:
    """[bins, bands] of zeros and ones; the edges are at the bins nearest to the bands' own."""
    bins = np.linspace(0, _RATE, _FFT + 1)[: _FFT // 2 + 1]
    number = np.arange(_BANDS)

    def nearest(sixths: int) -> np.ndarray:
        edge = _LOWEST_BAND_HZ * 2.0 ** ((2 * number + sixths) / 6)
        return np.argmin(np.square(bins[:, None] - edge), 0)

    index = np.arange(len(bins))[:, None]
    return ((index >= nearest(-1)) & (index < nearest(1))).astype(float)


def _correlation(reference: jax.Array, estimate: jax.Array, present: jax.Array) -> jax.Array:
    """[B, bands, n] each -> [B]: correlations of clipped segments, summed over the present ones.

    Args:
        reference: envelopes.
        estimate: envelopes.
        present: bool [B, n - 29], the segments of 30 frames that there are.
    """
    count = present.shape[-1]

    def summed(values: Callable[[int | jax.Array], jax.Array]) -> jax.Array:
        zeros = jnp.zeros_like(reference[..., :count])
        return lax.fori_loop(0, _SEGMENT, lambda i, total: total + values(i), zeros)

    scale = _ratio(
        _root(summed(lambda i: jnp.square(_from(reference, i, count)))),
        _root(summed(lambda i: jnp.square(_from(estimate, i, count)))),
    )

    def clipped(frame: int | jax.Array) -> jax.Array:
        limit = _CLIP * _from(reference, frame, count)
        return jnp.minimum(scale * _from(estimate, frame, count), limit)

    centre = summed(lambda i: _from(reference, i, count)) / _SEGMENT
    clipped_centre = summed(clipped) / _SEGMENT
    energy = summed(lambda i: jnp.square(_from(reference, i, count) - centre))
    clipped_energy = summed(lambda i: jnp.square(clipped(i) - clipped_centre))
    product = summed(
        lambda i: (_from(reference, i, count) - centre) * (clipped(i) - clipped_centre)
    )
    correlation = _ratio(product, _root(energy) * _root(clipped_energy))
    return jnp.sum(jnp.where(present, jnp.mean(correlation, 1), 0.0), -1)


def _extended_correlation(
    reference: jax.Array, estimate: jax.Array, present: jax.Array
) -> jax.Array:
    """As `_correlation`, for segments normalised over time, then over bands, without clipping."""
    count = present.shape[-1]

    def over_time(envelopes: jax.Array) -> tuple[jax.Array, jax.Array]:
        zeros = jnp.zeros_like(envelopes[..., :count])

        def summed(values: Callable[[int | jax.Array], jax.Array]) -> jax.Array:
            return lax.fori_loop(0, _SEGMENT, lambda i, total: total + values(i), zeros)

        centre = summed(lambda i: _from(envelopes, i, count)) / _SEGMENT
        energy = summed(lambda i: jnp.square(_from(envelopes, i, count) - centre))
        return centre, _ratio(jnp.ones_like(energy), _root(energy))

    statistics = over_time(reference), over_time(estimate)

    def column(frame: jax.Array, total: jax.Array) -> jax.Array:
        sides = []
        for envelopes, (centre, scale) in zip((reference, estimate), statistics, strict=True):
            row = (_from(envelopes, frame, count) - centre) * scale
            row = row - jnp.mean(row, 1, keepdims=True)
            sides.append((row, _root(jnp.sum(jnp.square(row), 1))))
        (first, first_norm), (second, second_norm) = sides
        return total + _ratio(jnp.sum(first * second, 1), first_norm * second_norm)

    total = lax.fori_loop(0, _SEGMENT, column, jnp.zeros_like(reference[:, 0, :count]))
    return jnp.sum(jnp.where(present, total / _SEGMENT, 0.0), -1)


def _from(envelopes: jax.Array, frame: int | jax.Array, count: int) -> jax.Array:
    return lax.dynamic_slice_in_dim(envelopes, frame, count, -1)


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The quotient, 0 where the denominator is."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)


def _root(square: jax.Array) -> jax.Array:
    """The square root, with gradient 0 at 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
