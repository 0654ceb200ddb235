"""Scores over short frames on the accelerator: segmental SNR, log-likelihood ratio, spectral slope.

The three that, with PESQ, make up CSIG, CBAK and COVL: Hu and Loizou, "Evaluation of Objective
Quality Measures for Speech Enhancement" (2008). Constants, frames and filters are those of
`jaxgan.scores.segmental`, which computes the same on the host.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.scores.device.batches import batched
from jaxgan.scores.segmental import (
    HIGHEST_SNR,
    KEPT_SHARE,
    LOWEST_SNR,
    TO_GREATEST,
    TO_NEAREST,
    critical_bands,
    frame_size,
    predictor_order,
    transform_size,
    window,
)


@batched
def ssnr(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Segmental signal-to-noise ratio in dB: the mean over frames, each within -10 and 35 dB.

    Arguments and results as `batches.batched` says. NaN where there is less than one frame and its
    successor (37.5 ms) too.
    """
    frames, count = _frames(pairs, lengths, sample_rate)
    present = jnp.arange(frames.shape[2]) < count[:, None]
    signal = jnp.sum(jnp.square(frames[0]), -1)
    noise = jnp.sum(jnp.square(frames[0] - frames[1]), -1)
    # The limits in the ratio, not in dB: no logarithm of nothing, and no gradient from it.
    highest, lowest = 10.0 ** (HIGHEST_SNR / 10.0), 10.0 ** (LOWEST_SNR / 10.0)
    within = (signal < highest * noise) & (signal > lowest * noise)
    ratio = jnp.where(within, signal, 1.0) / jnp.where(within, noise, 1.0)
    limit = jnp.where((signal > 0) & (signal >= highest * noise), HIGHEST_SNR, LOWEST_SNR)
    snr = jnp.where(within, 10.0 * jnp.log10(ratio), limit)
    mean = jnp.sum(jnp.where(present, snr, 0.0), -1) / jnp.maximum(count, 1).astype(snr.dtype)
    return _where_framed(mean, count)


@batched
def llr(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Log-likelihood ratio of the estimate's linear predictors, 0 and more, lower is better.

    The mean over the lowest 95 % of the frames. Arguments and results as of `ssnr`.
    """
    frames, count = _frames(pairs, lengths, sample_rate)
    clean, processed = _predictor(frames, predictor_order(sample_rate))
    # Residuals instead of quadratic forms of the autocorrelation: float32 keeps them.
    least = jnp.sum(jnp.square(_residual(frames[0], clean)), -1)
    found = jnp.sum(jnp.square(_residual(frames[0], processed)), -1)
    speaks = (least > 0) & (found > 0)
    distance = jnp.log(jnp.where(speaks, found, 1.0) / jnp.where(speaks, least, 1.0))
    return _where_framed(_mean_of_lowest(distance, count), count)


@batched
def wss(pairs: jax.Array, lengths: jax.Array, _peaks: jax.Array, sample_rate: int) -> jax.Array:
    """Klatt's weighted spectral slope distance, 0 and more, lower is better.

    The mean over the lowest 95 % of the frames. Arguments and results as of `ssnr`.
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
    return _where_framed(_mean_of_lowest(distance, count), count)


def _frames(pairs: jax.Array, lengths: jax.Array, sample_rate: int) -> tuple[jax.Array, jax.Array]:
    """Windowed frames [2, B, n, frame] and how many there are, int32 [B]."""
    frame = frame_size(sample_rate)
    hop = frame // 4
    count = max(1, (pairs.shape[-1] - frame) // hop)
    needed = (count - 1) * hop + frame
    padded = jnp.pad(pairs, ((0, 0), (0, 0), (0, max(0, needed - pairs.shape[-1]))))
    index = np.arange(count)[:, None] * hop + np.arange(frame)
    frames = padded[..., index] * jnp.asarray(window(frame), pairs.dtype)
    return frames, jnp.maximum((lengths - frame) // hop, 0)


def _where_framed(score: jax.Array, count: jax.Array) -> jax.Array:
    return jnp.where(count > 0, score, jnp.nan)


def _mean_of_lowest(distance: jax.Array, count: jax.Array) -> jax.Array:
    """[B, n] -> [B]: the mean of the lowest 95 % of the first `count`."""
    position = jnp.arange(distance.shape[1])
    ordered = jnp.sort(jnp.where(position < count[:, None], distance, jnp.inf), -1)
    kept = jnp.floor(KEPT_SHARE * count.astype(distance.dtype) + 0.5)[:, None]
    total = jnp.sum(jnp.where(position < kept, ordered, 0.0), -1)
    return total / jnp.maximum(kept[:, 0], 1.0)


def _predictor(frames: jax.Array, order: int) -> jax.Array:
    """[..., frame] -> [..., order + 1]: 1 and the negated predictor, by Levinson and Durbin."""
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
    """[..., frame] through the filter [..., order + 1], the end of its response included."""
    order = polynomial.shape[-1] - 1
    size = frames.shape[-1] + order
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(order, order)])
    delayed = (
        polynomial[..., lag : lag + 1] * padded[..., order - lag : order - lag + size]
        for lag in range(order + 1)
    )
    return functools.reduce(jnp.add, delayed)


def _slope_weights(levels: jax.Array, slopes: jax.Array) -> jax.Array:
    """Klatt's weights: slopes near the greatest level and near a local peak count most.

    Upwards, the peak's level is read one band before it, as in the published code.
    """
    bands = slopes.shape[-1]
    band = jnp.arange(bands)
    rising = slopes > 0
    first_fall = lax.cummin(jnp.where(rising, bands, band), axis=slopes.ndim - 1, reverse=True)
    last_rise = lax.cummax(jnp.where(rising, band, -1), axis=slopes.ndim - 1)
    peak = jnp.where(rising, first_fall - 1, last_rise + 1)
    lower = levels[..., :-1]
    near = jnp.take_along_axis(levels, peak, -1) - lower
    far = jnp.max(levels, -1, keepdims=True) - lower
    return TO_GREATEST / (TO_GREATEST + far) * (TO_NEAREST / (TO_NEAREST + near))
