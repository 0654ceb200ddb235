"""Frame-based scores: segmental SNR, LLR, WSS and frequency-weighted segmental SNR.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with the
constants of the MATLAB code of Loizou's book "Speech Enhancement: Theory and Practice". Frames last
30 ms with a hop of 7.5 ms.
"""

import functools

import numpy as np

from jaxgan.scores.score import Score, Unscorable, cache_last

LOWEST_SNR, HIGHEST_SNR = -10.0, 35.0
"""Limits of the SNR of a frame in dB."""
KEPT_FRACTION = 0.95
"""LLR and WSS are means over this fraction of the frames, those with the lowest distances."""
BAND_CENTRES = (
    50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17,
    3597.63,
)  # fmt: skip
"""Centres of the critical bands of Klatt (1982) in Hz."""
BAND_WIDTHS = (
    70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465,
    346.136,
)  # fmt: skip
"""Bandwidths of the critical bands in Hz."""
GLOBAL_PEAK_DB, LOCAL_PEAK_DB = 20.0, 1.0
"""Klatt's constants in dB: each halves the weight of a slope whose band is that far below the
highest level of the frame or below the nearest spectral peak, respectively."""
SNR_EXPONENT = 0.2
"""Exponent of a band's clean magnitude in the weights of the frequency-weighted segmental SNR."""


def frame_size(sample_rate: int) -> int:
    """Returns the length of a frame in samples, four times the hop."""
    return round(0.03 * sample_rate)


def window(frame: int) -> np.ndarray:
    """Returns a Hann window without its zero end points, float64 [frame]."""
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(1, frame + 1) / (frame + 1)))


def predictor_order(sample_rate: int) -> int:
    """Returns the order of the linear prediction in LLR at a sample rate in Hz."""
    return 16 if sample_rate >= 10_000 else 10


def transform_size(frame: int) -> int:
    """Returns the DFT length: the smallest power of two that holds two frames."""
    return int(2 ** (2 * frame - 1).bit_length())


@functools.cache
def critical_bands(sample_rate: int, size: int) -> np.ndarray:
    """Returns the gains of the Gaussian critical-band filters, float64 [size / 2, 25].

    Args:
        sample_rate: sample rate in Hz.
        size: DFT length; row k holds the gains at its bin k.
    """
    centres, widths = np.asarray(BAND_CENTRES), np.asarray(BAND_WIDTHS)
    bins = np.arange(size // 2)[:, None]
    middle = np.floor(centres / sample_rate * size)
    filters = np.exp(-11.0 * ((bins - middle) / (widths / sample_rate * size)) ** 2)
    filters *= widths[0] / widths
    return np.where(filters > np.exp(-30.0 / (2.0 * 2.303)), filters, 0.0)


def _frames(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the windowed frames of both signals, float64 [2, n, frame]."""
    frame = frame_size(sample_rate)
    hop = frame // 4
    count = (len(reference) - frame) // hop
    if count < 1:
        raise Unscorable("shorter than 37.5 ms")
    pair = np.stack([reference, estimate])
    views = np.lib.stride_tricks.sliding_window_view(pair, frame, axis=-1)
    return views[:, : count * hop : hop] * window(frame)


def _measure_ssnr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    clean, processed = _frames(reference, estimate, sample_rate)
    signal = np.sum(clean**2, -1)
    noise = np.sum((clean - processed) ** 2, -1)
    # The limits are applied before the division, which silent and perfect frames would make
    # undefined: a silent frame gets the lowest SNR, a perfect one the highest.
    lowest, highest = 10.0 ** (LOWEST_SNR / 10.0), 10.0 ** (HIGHEST_SNR / 10.0)
    within = (signal > lowest * noise) & (signal < highest * noise)
    snr = np.where((signal > 0) & (signal >= highest * noise), HIGHEST_SNR, LOWEST_SNR)
    snr[within] = 10.0 * np.log10(signal[within] / noise[within])
    return float(snr.mean())


def _mean_of_lowest(distances: np.ndarray) -> float:
    kept = int(np.floor(KEPT_FRACTION * len(distances) + 0.5))
    return float(np.sort(distances)[:kept].mean())


def _prediction_error_filters(correlation: np.ndarray) -> np.ndarray:
    """Returns the prediction-error filters [..., order + 1] of autocorrelations [..., order + 1].

    The Levinson-Durbin recursion; the first coefficient is 1.
    """
    error = correlation[..., :1]
    polynomial = np.ones_like(error)
    for step in range(1, correlation.shape[-1]):
        reversed_lags = correlation[..., step:0:-1]
        remainder = np.sum(polynomial * reversed_lags, -1, keepdims=True)
        reflection = np.divide(-remainder, error, where=error > 0, out=np.zeros_like(error))
        longer = np.concatenate([polynomial, np.zeros_like(error)], -1)
        polynomial = longer + reflection * longer[..., ::-1]
        error = error * (1.0 - reflection**2)
    return polynomial


def _measure_llr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    frames = _frames(reference, estimate, sample_rate)
    lags = range(predictor_order(sample_rate) + 1)
    size = frames.shape[-1]
    correlation = np.stack(
        [np.sum(frames[..., : size - lag] * frames[..., lag:], -1) for lag in lags], -1
    )
    polynomials = _prediction_error_filters(correlation)
    index = np.abs(np.subtract.outer(lags, lags))
    own, other = np.einsum(
        "sni,nij,snj->sn", polynomials, correlation[0][:, index], polynomials, optimize=True
    )
    defined = (own > 0) & (other > 0)
    distances = np.log(np.divide(other, own, where=defined, out=np.ones_like(own)))
    return _mean_of_lowest(distances)


def _bands(spectrum: np.ndarray, sample_rate: int, size: int) -> np.ndarray:
    """Returns band sums [..., 25] of spectra [..., size / 2 + 1]; no band uses the Nyquist bin."""
    bands: np.ndarray = spectrum[..., : size // 2] @ critical_bands(sample_rate, size)
    return bands


def _measure_wss(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    frames = _frames(reference, estimate, sample_rate)
    size = transform_size(frames.shape[-1])
    power = _bands(np.abs(np.fft.rfft(frames, size)) ** 2, sample_rate, size)
    levels = 10.0 * np.log10(np.maximum(power, 1e-10))
    slopes = np.diff(levels)
    weight = _slope_weights(levels, slopes).mean(0)
    distances = np.sum(weight * (slopes[0] - slopes[1]) ** 2, -1) / np.sum(weight, -1)
    return _mean_of_lowest(distances)


def _slope_weights(levels: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Returns Klatt's weights, which are greatest near the highest level and near spectral peaks.

    As in the published code, a rising slope takes the level one band below the peak for the peak's.

    Args:
        levels: [..., bands], in dB.
        slopes: [..., bands - 1], level differences between neighbouring bands in dB.
    """
    bands = slopes.shape[-1]
    band = np.arange(bands)
    rising = slopes > 0
    falls = np.where(rising, bands, band)
    first_fall = np.minimum.accumulate(falls[..., ::-1], -1)[..., ::-1]
    last_rise = np.maximum.accumulate(np.where(rising, band, -1), -1)
    peak = np.where(rising, first_fall - 1, last_rise + 1)
    lower = levels[..., :-1]
    below_peak = np.take_along_axis(levels, peak, -1) - lower
    below_highest = levels.max(-1, keepdims=True) - lower
    near_highest = GLOBAL_PEAK_DB / (GLOBAL_PEAK_DB + below_highest)
    weights: np.ndarray = near_highest * LOCAL_PEAK_DB / (LOCAL_PEAK_DB + below_peak)
    return weights


def _measure_fwsegsnr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    frames = _frames(reference, estimate, sample_rate)
    size = transform_size(frames.shape[-1])
    magnitude = np.abs(np.fft.rfft(frames, size))[..., : size // 2]
    total = magnitude.sum(-1, keepdims=True)
    # Each spectrum is normalised to the sum 1, so that levels do not matter.
    magnitude = np.divide(magnitude, total, where=total > 0, out=np.zeros_like(magnitude))
    clean, processed = _bands(magnitude, sample_rate, size)
    weight = clean**SNR_EXPONENT
    error = np.maximum((clean - processed) ** 2, np.finfo(float).eps)
    ratio = 10.0 * np.log10(np.maximum(clean**2 / error, np.finfo(float).tiny))
    total = weight.sum(-1)
    snr = np.divide((weight * ratio).sum(-1), total, where=total > 0, out=np.full_like(total, -99))
    return float(snr.clip(LOWEST_SNR, HIGHEST_SNR).mean())


ssnr = Score(
    "ssnr", LOWEST_SNR, HIGHEST_SNR, higher_is_better=True, measure=cache_last(_measure_ssnr)
)
"""Segmental SNR in dB: the mean over frames of the SNR limited to [-10, 35]; higher is better."""

llr = Score("llr", 0.0, 2.0, higher_is_better=False, measure=cache_last(_measure_llr))
"""Log-likelihood ratio of the linear predictors, the mean over the lowest 95 % of the frames.

0 or more, lower is better; rarely above 2, where the range map clips it.
"""

wss = Score("wss", 0.0, 100.0, higher_is_better=False, measure=cache_last(_measure_wss))
"""Weighted spectral slope distance (Klatt 1982), the mean over the lowest 95 % of the frames.

0 or more, lower is better; rarely above 100, where the range map clips it.
"""

fwsegsnr = Score(
    "fwsegsnr", LOWEST_SNR, HIGHEST_SNR, higher_is_better=True, measure=_measure_fwsegsnr
)
"""Frequency-weighted segmental SNR in dB, -10 to 35, higher is better.

The mean over frames of the SNR in 25 critical bands of normalised magnitude spectra, each weighted
by its clean magnitude to the power 0.2.
"""
