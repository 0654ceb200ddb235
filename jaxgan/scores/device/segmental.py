"""Frame-based scores in JAX: segmental SNR, log-likelihood ratio, weighted spectral slope.

CSIG, CBAK and COVL are computed from these three and PESQ: Hu and Loizou, "Evaluation of Objective
Quality Measures for Speech Enhancement" (2008). Constants, frames and filters are those of
`jaxgan.scores.segmental`, which computes the same scores on the host.
"""

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
    own, other = _prediction_errors(frames, predictor_order(sample_rate))
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


def _prediction_errors(frames: jax.Array, order: int) -> tuple[jax.Array, jax.Array]:
    """Returns the energies [...] of reference frames after two prediction-error filters.

    The filters are those of the reference frames themselves and of the estimate's frames. They are
    computed and applied as lattices (Itakura and Saito 1971), whose reflection coefficients are
    correlations of forward and backward residuals. Autocorrelations and the Levinson-Durbin
    recursion give the same filters in exact arithmetic. In float32 they lose every residual that
    is more than about 70 dB below its signal, as those of band-limited speech, hum and offsets are;
    a lattice loses residuals more than about 140 dB below it.

    Args:
        frames: reference and estimate, [2, ..., frame].
        order: order of the filters, a multiple of 2.
    """
    # Powers of two scale without rounding; squares of faint residuals stay in range.
    peak = jnp.max(jnp.abs(lax.stop_gradient(frames)), -1, keepdims=True)
    exponent = jnp.where(peak > 0, jnp.floor(jnp.log2(jnp.where(peak > 0, peak, 1.0))), 0.0)
    # The residuals are up to `order` samples longer, so only zeros are moved from end to start.
    room = [(0, 0)] * (frames.ndim - 1) + [(0, order)]
    reference, estimate = jnp.pad(frames * jnp.exp2(-exponent), room)
    start = (reference, reference, estimate)
    (forward, _), _ = lax.scan(_two_lattice_steps, (start, start), length=order // 2)
    own, other, _ = (jnp.sum(jnp.square(residual), -1) for residual in forward)
    return own, other


_Residuals = tuple[jax.Array, ...]
"""Residuals of the reference, of the reference by the estimate's filter, and of the estimate."""


# The backward pass keeps the residuals of every second step and computes the others again.
@jax.checkpoint
def _two_lattice_steps(
    residuals: tuple[_Residuals, _Residuals], _: None
) -> tuple[tuple[_Residuals, _Residuals], None]:
    forward, backward = residuals
    for _step in range(2):
        delayed = [jnp.roll(residual, 1, -1) for residual in backward]
        first, second = _reflection(forward[0], delayed[0]), _reflection(forward[2], delayed[2])
        reflections = first, second, second
        lattice = list(zip(forward, delayed, reflections, strict=True))
        forward = tuple(f + k * b for f, b, k in lattice)
        backward = tuple(b + k * f for f, b, k in lattice)
    return (forward, backward), None


def _reflection(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Returns the reflection coefficients [..., 1] of residuals [..., n]; 0 without energy."""
    energy = jnp.sum(jnp.square(forward), -1, keepdims=True)
    product = jnp.sum(forward * backward, -1, keepdims=True)
    return jnp.where(energy > 0, -product / jnp.where(energy > 0, energy, 1.0), 0.0)


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
