"""Frame-based scores in JAX: segmental SNR, log-likelihood ratio, weighted spectral slope.

CSIG, CBAK and COVL are computed from these three and PESQ: Hu and Loizou, "Evaluation of Objective
Quality Measures for Speech Enhancement" (2008). Constants, frames and filters are those of
`jaxgan.scores.segmental`, which computes the same scores on the host.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.scores.device.batches import batched
from jaxgan.scores.segmental import (
    GLOBAL_PEAK_DB,
    HIGHEST_SNR,
    KEPT_FRACTION,
    LOCAL_PEAK_DB,
    LOWEST_SNR,
    critical_bands,
    frame_size,
    predictor_order,
    transform_size,
    window,
)


@batched
def ssnr(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Returns the segmental SNR in dB: the mean over frames of the SNR limited to [-10, 35] dB.

    `batches.batched` describes arguments and results. A pair shorter than one frame and one hop
    (37.5 ms) is NaN too.
    """
    frames, count = _frames(pairs, lengths, sample_rate)
    present = jnp.arange(frames.shape[2]) < count[:, None]
    signal = jnp.sum(jnp.square(frames[0]), -1)
    noise = jnp.sum(jnp.square(frames[0] - frames[1]), -1)
    # The limits apply to the ratio, not to dB, so neither log(0) nor its gradient occurs.
    highest, lowest = 10.0 ** (HIGHEST_SNR / 10.0), 10.0 ** (LOWEST_SNR / 10.0)
    within = (signal < highest * noise) & (signal > lowest * noise)
    ratio = jnp.where(within, signal, 1.0) / jnp.where(within, noise, 1.0)
    limit = jnp.where((signal > 0) & (signal >= highest * noise), HIGHEST_SNR, LOWEST_SNR)
    snr = jnp.where(within, 10.0 * jnp.log10(ratio), limit)
    mean = jnp.sum(jnp.where(present, snr, 0.0), -1) / jnp.maximum(count, 1).astype(snr.dtype)
    return _nan_without_frames(mean, count)


@batched
def llr(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Returns the log-likelihood ratio of the linear predictors, 0 or more, lower is better.

    The mean over the 95 % of the frames with the lowest values. Arguments and results as for
    `ssnr`.
    """
    frames, count = _frames(pairs, lengths, sample_rate)
    clean, processed = _prediction_error_filters(frames, predictor_order(sample_rate))
    # Residuals keep their precision in float32; quadratic forms of the autocorrelation do not.
    own = jnp.sum(jnp.square(_residual(frames[0], clean)), -1)
    other = jnp.sum(jnp.square(_residual(frames[0], processed)), -1)
    defined = (own > 0) & (other > 0)
    distance = jnp.log(jnp.where(defined, other, 1.0) / jnp.where(defined, own, 1.0))
    return _nan_without_frames(_mean_of_lowest(distance, count), count)


@batched
def wss(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Returns the weighted spectral slope distance (Klatt 1982), 0 or more, lower is better.

    The mean over the 95 % of the frames with the lowest values. Arguments and results as for
    `ssnr`.
    """
    frames, count = _frames(pairs, lengths, sample_rate)
    size = transform_size(frames.shape[-1])
    spectrum = jnp.fft.rfft(frames, size)[..., : size // 2]
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.asarray(critical_bands(sample_rate, size), power.dtype)
    power = jnp.matmul(power, bands, precision=lax.Precision.HIGHEST)
    levels = 10.0 * jnp.log10(jnp.maximum(power, 1e-10))
    slopes = levels[..., 1:] - levels[..., :-1]
    weight = jnp.mean(_slope_weights(levels, slopes), 0)
    squares = weight * jnp.square(slopes[0] - slopes[1])
    distance = jnp.sum(squares, -1) / jnp.sum(weight, -1)
    return _nan_without_frames(_mean_of_lowest(distance, count), count)


def _frames(pairs: jax.Array, lengths: jax.Array, sample_rate: int) -> tuple[jax.Array, jax.Array]:
    """Returns windowed frames [2, B, n, frame] and the number of frames of each pair, int32 [B]."""
    frame = frame_size(sample_rate)
    hop = frame // 4
    count = max(1, (pairs.shape[-1] - frame) // hop)
    needed = (count - 1) * hop + frame
    padded = jnp.pad(pairs, ((0, 0), (0, 0), (0, max(0, needed - pairs.shape[-1]))))
    index = np.arange(count)[:, None] * hop + np.arange(frame)
    frames = padded[..., index] * jnp.asarray(window(frame), pairs.dtype)
    return frames, jnp.maximum((lengths - frame) // hop, 0)


def _nan_without_frames(score: jax.Array, count: jax.Array) -> jax.Array:
    return jnp.where(count > 0, score, jnp.nan)


def _mean_of_lowest(distance: jax.Array, count: jax.Array) -> jax.Array:
    """Returns the mean [B] of the lowest 95 % of the first `count` of the distances [B, n]."""
    position = jnp.arange(distance.shape[1])
    ordered = jnp.sort(jnp.where(position < count[:, None], distance, jnp.inf), -1)
    kept = jnp.floor(KEPT_FRACTION * count.astype(distance.dtype) + 0.5)[:, None]
    total = jnp.sum(jnp.where(position < kept, ordered, 0.0), -1)
    return total / jnp.maximum(kept[:, 0], 1.0)


def _prediction_error_filters(frames: jax.Array, order: int) -> jax.Array:
    """Returns the prediction-error filters [..., order + 1] of frames [..., frame].

    The Levinson-Durbin recursion; the first coefficient is 1.
    """
    size = frames.shape[-1]
    correlation = [
        jnp.sum(frames[..., : size - lag] * frames[..., lag:], -1) for lag in range(order + 1)
    ]
    zero = jnp.zeros_like(correlation[0])
    error = correlation[0]
    polynomial = [jnp.ones_like(zero)]
    for step in range(1, order + 1):
        remainder = sum(a * correlation[step - i] for i, a in enumerate(polynomial))
        usable = error > 0
        reflection = jnp.where(usable, -remainder / jnp.where(usable, error, 1.0), 0.0)
        longer = [*polynomial, zero]
        polynomial = [a + reflection * b for a, b in zip(longer, longer[::-1], strict=True)]
        error = error * (1.0 - jnp.square(reflection))
    return jnp.stack(polynomial, -1)


def _residual(frames: jax.Array, polynomial: jax.Array) -> jax.Array:
    """Returns frames [..., frame] filtered by [..., order + 1], as [..., frame + order]."""
    order = polynomial.shape[-1] - 1
    size = frames.shape[-1] + order
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(order, order)])
    delayed = (
        polynomial[..., lag : lag + 1] * padded[..., order - lag : order - lag + size]
        for lag in range(order + 1)
    )
    return functools.reduce(jnp.add, delayed)


def _slope_weights(levels: jax.Array, slopes: jax.Array) -> jax.Array:
    """Returns Klatt's weights, which are greatest near the highest level and near spectral peaks.

    As in the published code, a rising slope takes the level one band below the peak for the peak's.

    Args:
        levels: [..., bands], in dB.
        slopes: [..., bands - 1], level differences between neighbouring bands in dB.
    """
    bands = slopes.shape[-1]
    band = jnp.arange(bands)
    rising = slopes > 0
    first_fall = lax.cummin(jnp.where(rising, bands, band), axis=slopes.ndim - 1, reverse=True)
    last_rise = lax.cummax(jnp.where(rising, band, -1), axis=slopes.ndim - 1)
    peak = jnp.where(rising, first_fall - 1, last_rise + 1)
    lower = levels[..., :-1]
    below_peak = jnp.take_along_axis(levels, peak, -1) - lower
    below_highest = jnp.max(levels, -1, keepdims=True) - lower
    near_highest = GLOBAL_PEAK_DB / (GLOBAL_PEAK_DB + below_highest)
    return near_highest * (LOCAL_PEAK_DB / (LOCAL_PEAK_DB + below_peak))
