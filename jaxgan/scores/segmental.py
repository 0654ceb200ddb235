"""Scores over short frames: segmental SNR, log-likelihood ratio, spectral slope, weighted SNR.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with the
constants of the MATLAB code of Loizou's book "Speech Enhancement: Theory and Practice". Frames last
30 ms and begin 7.5 ms apart.
"""

import functools

import numpy as np

from jaxgan.scores.score import Score, Unscorable, remembering

LOWEST_SNR, HIGHEST_SNR = -10.0, 35.0
"""dB: a frame's ratio stays within these."""
KEPT_SHARE = 0.95
"""Of the frames of LLR and WSS: the lowest distances."""
BAND_CENTRES = (
    50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17,
    3597.63,
)  # fmt: skip
"""Hz, of Klatt's critical bands (1982)."""
BAND_WIDTHS = (
    70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465,
    346.136,
)  # fmt: skip
"""Hz."""
TO_GREATEST, TO_NEAREST = 20.0, 1.0
"""Klatt's constants: how fast the weight of a slope falls with its distance from the peaks, dB."""
SNR_EXPONENT = 0.2
"""Of a band's magnitude in the weight that it has in the frequency-weighted SNR."""


def frame_size(sample_rate: int) -> int:
    """Samples of a frame; four times as many as from one frame to the next."""
    return round(0.03 * sample_rate)


def window(frame: int) -> np.ndarray:
    """Hann without its zeros: float64 [frame]."""
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(1, frame + 1) / (frame + 1)))


def predictor_order(sample_rate: int) -> int:
    """Coefficients of the linear predictors of LLR."""
    return 16 if sample_rate >= 10_000 else 10


def transform_size(frame: int) -> int:
    """Points of the transforms: the power of two that holds two frames."""
    return int(2 ** (2 * frame - 1).bit_length())


@functools.cache
def critical_bands(sample_rate: int, size: int) -> np.ndarray:
    """float64 [size / 2, 25]: Gaussian filters on the bins of a spectrum."""
    centres, widths = np.asarray(BAND_CENTRES), np.asarray(BAND_WIDTHS)
    bins = np.arange(size // 2)[:, None]
    middle = np.floor(centres / sample_rate * size)
    filters = np.exp(-11.0 * ((bins - middle) / (widths / sample_rate * size)) ** 2)
    filters *= widths[0] / widths
    return np.where(filters > np.exp(-30.0 / (2.0 * 2.303)), filters, 0.0)


def _frames(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> np.ndarray:
    """Windowed frames of both sides: float64 [2, n, frame]."""
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
    # The limits before the division: a frame of silence has the lowest ratio, a perfect one the
    # highest.
    lowest, highest = 10.0 ** (LOWEST_SNR / 10.0), 10.0 ** (HIGHEST_SNR / 10.0)
    within = (signal > lowest * noise) & (signal < highest * noise)
    snr = np.where((signal > 0) & (signal >= highest * noise), HIGHEST_SNR, LOWEST_SNR)
    snr[within] = 10.0 * np.log10(signal[within] / noise[within])
    return float(snr.mean())


def _mean_of_lowest(distances: np.ndarray) -> float:
    kept = int(np.floor(KEPT_SHARE * len(distances) + 0.5))
    return float(np.sort(distances)[:kept].mean())


def _predictors(correlation: np.ndarray) -> np.ndarray:
    """[..., order + 1] autocorrelation -> 1 and the negated predictor, by Levinson and Durbin."""
    error = correlation[..., :1]
    polynomial = np.ones_like(error)
    for step in range(1, correlation.shape[-1]):
        ahead = correlation[..., step:0:-1]
        remainder = np.sum(polynomial * ahead, -1, keepdims=True)
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
    polynomials = _predictors(correlation)
    index = np.abs(np.subtract.outer(lags, lags))
    least, found = np.einsum(
        "sni,nij,snj->sn", polynomials, correlation[0][:, index], polynomials, optimize=True
    )
    speaks = (least > 0) & (found > 0)
    distances = np.log(np.divide(found, least, where=speaks, out=np.ones_like(least)))
    return _mean_of_lowest(distances)


def _bands(spectrum: np.ndarray, sample_rate: int, size: int) -> np.ndarray:
    """[..., size / 2 + 1] -> [..., 25]; the bin at half the sample rate belongs to no band."""
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
    """Klatt's weights: slopes near the greatest level and near a local peak count most.

    Upwards, the peak's level is read one band before it, as in the published code.
    """
    bands = slopes.shape[-1]
    band = np.arange(bands)
    rising = slopes > 0
    falls = np.where(rising, bands, band)
    first_fall = np.minimum.accumulate(falls[..., ::-1], -1)[..., ::-1]
    last_rise = np.maximum.accumulate(np.where(rising, band, -1), -1)
    peak = np.where(rising, first_fall - 1, last_rise + 1)
    lower = levels[..., :-1]
    near = np.take_along_axis(levels, peak, -1) - lower
    far = levels.max(-1, keepdims=True) - lower
    weights: np.ndarray = TO_GREATEST / (TO_GREATEST + far) * TO_NEAREST / (TO_NEAREST + near)
    return weights


def _measure_fwsegsnr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    frames = _frames(reference, estimate, sample_rate)
    size = transform_size(frames.shape[-1])
    magnitude = np.abs(np.fft.rfft(frames, size))[..., : size // 2]
    total = magnitude.sum(-1, keepdims=True)
    # Each frame's spectrum sums to 1: a level says nothing.
    magnitude = np.divide(magnitude, total, where=total > 0, out=np.zeros_like(magnitude))
    clean, processed = _bands(magnitude, sample_rate, size)
    weight = clean**SNR_EXPONENT
    error = np.maximum((clean - processed) ** 2, np.finfo(float).eps)
    ratio = 10.0 * np.log10(np.maximum(clean**2 / error, np.finfo(float).tiny))
    total = weight.sum(-1)
    snr = np.divide((weight * ratio).sum(-1), total, where=total > 0, out=np.full_like(total, -99))
    return float(snr.clip(LOWEST_SNR, HIGHEST_SNR).mean())


ssnr = Score(
    "ssnr", LOWEST_SNR, HIGHEST_SNR, higher_is_better=True, measure=remembering(_measure_ssnr)
)
"""Segmental SNR: the mean over frames of their SNR in dB, each within -10 and 35."""

llr = Score("llr", 0.0, 2.0, higher_is_better=False, measure=remembering(_measure_llr))
"""Log-likelihood ratio of the estimate's linear predictors, the mean of the lowest 95 % of frames;
0 and more, rarely above 2, where the range map clips it."""

wss = Score("wss", 0.0, 100.0, higher_is_better=False, measure=remembering(_measure_wss))
"""Weighted spectral slope distance (Klatt 1982), the mean of the lowest 95 % of frames; 0 and more,
rarely above 100, where the range map clips it."""

fwsegsnr = Score(
    "fwsegsnr", LOWEST_SNR, HIGHEST_SNR, higher_is_better=True, measure=_measure_fwsegsnr
)
"""Frequency-weighted segmental SNR: 25 critical bands of normalised spectra, weighted by the clean
band's magnitude to the power 0.2; dB within -10 and 35, the mean over frames."""
