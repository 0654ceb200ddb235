"""STOI and ESTOI in JAX, for batches of time-aligned pairs.

Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
(2011); Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by
Modulated Noise Maskers" (2016). These functions follow the package `pystoi`, including its
resampling to 10 kHz and its removal of silent frames, but on arrays of fixed shapes.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.core.errors import UserError
from jaxgan.scores.device.arrays import safe_sqrt
from jaxgan.scores.device.batches import batched

_RATE = 10_000
_FRAME, _HOP, _FFT = 256, 128, 512
_BANDS, _LOWEST_BAND_HZ = 15, 150.0
_SEGMENT = 30
_DYNAMIC_RANGE = 1e-4
"""Ratio to the energy of the loudest frame (-40 dB) below which a frame is silent."""
_CLIP = 1.0 + 10.0 ** (15.0 / 20.0)


@batched
def stoi(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Returns the short-time objective intelligibility, 0 to 1, higher is better.

    `batches.batched` describes arguments and results. Signals are resampled to 10 kHz. A pair whose
    reference has fewer than 31 frames (0.4 s) that are not silent is NaN too. The score is
    differentiable, except where the choice of silent frames or the clipping changes; minus its mean
    is a loss.

    Raises:
        UserError: the sample rate is not a positive multiple of 100 Hz.
    """
    return _score(pairs, lengths, sample_rate, _correlation)


@batched
def estoi(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Returns the extended STOI, also valid for modulated noise; the package's dither is left out.

    Range, arguments, results and errors are those of `stoi`.
    """
    return _score(pairs, lengths, sample_rate, _extended_correlation)


def _score(
    pairs: jax.Array,
    lengths: jax.Array,
    sample_rate: int,
    compare: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """Returns the scores [B] of pairs [2, B, T]; `compare` sums over segments of envelopes."""
    if sample_rate <= 0 or sample_rate % 100:
        raise UserError(f"stoi takes sample rates that are multiples of 100 Hz, not {sample_rate}")
    resampled, lengths = _resample(pairs, lengths, sample_rate)
    frames, kept = _speech_frames(resampled, lengths)
    envelopes = _band_envelopes(frames)
    segments = kept - _SEGMENT
    count = max(1, envelopes.shape[-1] - (_SEGMENT - 1))
    missing = max(0, _SEGMENT - envelopes.shape[-1])
    envelopes = jnp.pad(envelopes, [(0, 0)] * 3 + [(0, missing)])
    total = compare(envelopes[0], envelopes[1], jnp.arange(count) < segments[:, None])
    score = total / jnp.maximum(segments, 1).astype(pairs.dtype)
    return jnp.where(segments > 0, score, jnp.nan)


def _resample(
    signals: jax.Array, lengths: jax.Array, sample_rate: int
) -> tuple[jax.Array, jax.Array]:
    """Returns signals [..., B, T] resampled to 10 kHz, and their new lengths [B]."""
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
    # Split into multiples of `down` and a rest: a whole length times `up` may overflow int32.
    lengths = lengths // down * up + -(-(lengths % down * up) // down)
    return jnp.where(jnp.arange(resampled.shape[-1]) < lengths[:, None], resampled, 0.0), lengths


@functools.cache
def _resampler(sample_rate: int) -> tuple[int, int, np.ndarray, int]:
    """Returns a polyphase resampler to 10 kHz as a matrix product over blocks of samples.

    The outputs of a block depend on its own inputs and those of one block on either side. The
    filter is a sinc with a Kaiser window and 60 dB of rejection, as in Octave's `resample`, which
    pystoi follows.

    Returns:
        (up, down, matrix [3 * block, block * up / down], block).
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
    """Returns windowed frames of both signals without the frames where the reference is silent.

    As in pystoi, the windowed frames that are not silent are concatenated by overlap-add, and the
    result is split into frames again. K frames that are kept become K - 1 frames.

    Args:
        signals: [2, B, S] at 10 kHz, zero from `lengths` on.
        lengths: int32 [B], samples.

    Returns:
        (frames [2, B, n, 256], of which the first K - 1 count; K, int32 [B]).
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
    """Returns third-octave magnitudes [..., bands, n], from 150 Hz, of frames [..., n, 256]."""
    spectrum = jnp.fft.rfft(frames, _FFT)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.asarray(_third_octaves(), power.dtype)
    return safe_sqrt(jnp.einsum("...nk,kb->...bn", power, bands, precision=lax.Precision.HIGHEST))


@functools.cache
def _third_octaves() -> np.ndarray:
    """Returns [bins, bands] of zeros and ones; band edges are rounded to the nearest bins."""
    bins = np.linspace(0, _RATE, _FFT + 1)[: _FFT // 2 + 1]
    number = np.arange(_BANDS)

    def nearest(sixths: int) -> np.ndarray:
        edge = _LOWEST_BAND_HZ * 2.0 ** ((2 * number + sixths) / 6)
        return np.argmin(np.square(bins[:, None] - edge), 0)

    index = np.arange(len(bins))[:, None]
    return ((index >= nearest(-1)) & (index < nearest(1))).astype(float)


def _correlation(reference: jax.Array, estimate: jax.Array, present: jax.Array) -> jax.Array:
    """Returns the sum [B] over segments of the mean correlation of clipped band envelopes.

    Args:
        reference: envelopes [B, bands, n].
        estimate: envelopes [B, bands, n].
        present: bool [B, n - 29], which segments of 30 frames exist.
    """
    count = present.shape[-1]

    def summed(values: Callable[[int | jax.Array], jax.Array]) -> jax.Array:
        zeros = jnp.zeros_like(reference[..., :count])
        return lax.fori_loop(0, _SEGMENT, lambda i, total: total + values(i), zeros)

    scale = _ratio(
        safe_sqrt(summed(lambda i: jnp.square(_frames_from(reference, i, count)))),
        safe_sqrt(summed(lambda i: jnp.square(_frames_from(estimate, i, count)))),
    )

    def clipped(frame: int | jax.Array) -> jax.Array:
        limit = _CLIP * _frames_from(reference, frame, count)
        return jnp.minimum(scale * _frames_from(estimate, frame, count), limit)

    centre = summed(lambda i: _frames_from(reference, i, count)) / _SEGMENT
    clipped_centre = summed(clipped) / _SEGMENT
    energy = summed(lambda i: jnp.square(_frames_from(reference, i, count) - centre))
    clipped_energy = summed(lambda i: jnp.square(clipped(i) - clipped_centre))
    product = summed(
        lambda i: (_frames_from(reference, i, count) - centre) * (clipped(i) - clipped_centre)
    )
    correlation = _ratio(product, safe_sqrt(energy) * safe_sqrt(clipped_energy))
    return jnp.sum(jnp.where(present, jnp.mean(correlation, 1), 0.0), -1)


def _extended_correlation(
    reference: jax.Array, estimate: jax.Array, present: jax.Array
) -> jax.Array:
    """As `_correlation`, but on segments normalised over time and then over bands, not clipped."""
    count = present.shape[-1]

    def over_time(envelopes: jax.Array) -> tuple[jax.Array, jax.Array]:
        zeros = jnp.zeros_like(envelopes[..., :count])

        def summed(values: Callable[[int | jax.Array], jax.Array]) -> jax.Array:
            return lax.fori_loop(0, _SEGMENT, lambda i, total: total + values(i), zeros)

        centre = summed(lambda i: _frames_from(envelopes, i, count)) / _SEGMENT
        energy = summed(lambda i: jnp.square(_frames_from(envelopes, i, count) - centre))
        return centre, _ratio(jnp.ones_like(energy), safe_sqrt(energy))

    statistics = over_time(reference), over_time(estimate)

    def column(frame: jax.Array, total: jax.Array) -> jax.Array:
        sides = []
        for envelopes, (centre, scale) in zip((reference, estimate), statistics, strict=True):
            row = (_frames_from(envelopes, frame, count) - centre) * scale
            row = row - jnp.mean(row, 1, keepdims=True)
            sides.append((row, safe_sqrt(jnp.sum(jnp.square(row), 1))))
        (first, first_norm), (second, second_norm) = sides
        return total + _ratio(jnp.sum(first * second, 1), first_norm * second_norm)

    total = lax.fori_loop(0, _SEGMENT, column, jnp.zeros_like(reference[:, 0, :count]))
    return jnp.sum(jnp.where(present, total / _SEGMENT, 0.0), -1)


def _frames_from(envelopes: jax.Array, frame: int | jax.Array, count: int) -> jax.Array:
    return lax.dynamic_slice_in_dim(envelopes, frame, count, -1)


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Returns the quotient, or 0 where the denominator is 0."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)
