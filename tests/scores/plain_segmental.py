"""The frame-based scores as plain float64 loops, following their published definitions."""

import math

import numpy as np
import scipy.linalg

# In Hz, from Loizou's "Speech Enhancement: Theory and Practice"; not shared with the package.
CENTRES = [50 + 70 * band for band in range(8)] + [
    *(617.372, 703.378, 798.717, 904.128, 1020.38, 1148.3, 1288.72, 1442.54, 1610.7),
    *(1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63),
]
WIDTHS = [70] * 7 + [
    *(77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823, 168.154),
    *(183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136),
]


def plain_frames(signal, sample_rate):
    frame = round(0.03 * sample_rate)
    hop = frame // 4
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, frame + 1) / (frame + 1)))
    count = int(len(signal) / hop - frame / hop)
    return [signal[i * hop : i * hop + frame].astype(float) * window for i in range(count)]


def frame_pairs(clean, processed, sample_rate):
    sides = (plain_frames(signal, sample_rate) for signal in (clean, processed))
    return zip(*sides, strict=True)


def plain_ssnr(clean, processed, sample_rate):
    ratios = []
    for c, p in frame_pairs(clean, processed, sample_rate):
        ratio = 10 * math.log10(np.sum(c**2) / (np.sum((c - p) ** 2) + 1e-30) + 1e-30)
        ratios.append(min(max(ratio, -10), 35))
    return np.mean(ratios)


def mean_of_lowest(distances):
    return np.mean(np.sort(distances)[: math.floor(0.95 * len(distances) + 0.5)])


def plain_llr(clean, processed, sample_rate):
    order = 16 if sample_rate >= 10000 else 10
    distances = []
    for c, p in frame_pairs(clean, processed, sample_rate):
        correlations = [[np.dot(x[: len(x) - k], x[k:]) for k in range(order + 1)] for x in (c, p)]
        predictors = [
            np.append(1.0, -scipy.linalg.solve_toeplitz(r[:-1], r[1:])) for r in correlations
        ]
        form = scipy.linalg.toeplitz(correlations[0])
        own, other = (a @ form @ a for a in predictors)
        distances.append(math.log(other / own))
    return mean_of_lowest(distances)


def band_filters(sample_rate, half):
    bins = np.arange(half)
    filters = []
    for centre, width in zip(CENTRES, WIDTHS, strict=True):
        middle = math.floor(centre / (sample_rate / 2) * half)
        spread = width / (sample_rate / 2) * half
        shape = np.exp(-11 * ((bins - middle) / spread) ** 2 + math.log(WIDTHS[0] / width))
        filters.append(shape * (shape > math.exp(-30 / (2 * 2.303))))
    return np.array(filters)


def plain_wss(clean, processed, sample_rate):
    size = 2 ** math.ceil(math.log2(2 * round(0.03 * sample_rate)))
    half = size // 2
    filters = band_filters(sample_rate, half)

    def levels(frame):
        power = np.abs(np.fft.fft(frame, size)[:half]) ** 2
        return 10 * np.log10(np.maximum(filters @ power, 1e-10))

    def weights(level, slope):
        result = []
        for i in range(24):
            n = i
            if slope[i] > 0:
                while n < 24 and slope[n] > 0:
                    n += 1
                peak = level[n - 1]
            else:
                while n >= 0 and slope[n] <= 0:
                    n -= 1
                peak = level[n + 1]
            below_highest, below_peak = max(level) - level[i], peak - level[i]
            result.append(20 / (20 + below_highest) * 1 / (1 + below_peak))
        return np.array(result)

    distances = []
    for c, p in frame_pairs(clean, processed, sample_rate):
        level = levels(c), levels(p)
        slope = np.diff(level[0]), np.diff(level[1])
        weight = (weights(level[0], slope[0]) + weights(level[1], slope[1])) / 2
        distances.append(np.sum(weight * (slope[0] - slope[1]) ** 2) / np.sum(weight))
    return mean_of_lowest(distances)


def plain_fwsegsnr(clean, processed, sample_rate):
    size = 2 ** math.ceil(math.log2(2 * round(0.03 * sample_rate)))
    half = size // 2
    filters = band_filters(sample_rate, half)
    ratios = []
    for pair in frame_pairs(clean, processed, sample_rate):
        energies = []
        for frame in pair:
            spectrum = np.abs(np.fft.fft(frame, size))[:half]
            spectrum = spectrum / np.sum(spectrum)
            energies.append([np.sum(spectrum * band) for band in filters])
        weighted, total = 0.0, 0.0
        for c, p in zip(*energies, strict=True):
            error = max((c - p) ** 2, np.finfo(float).eps)
            weighted += c**0.2 * 10 * math.log10(c**2 / error)
            total += c**0.2
        ratios.append(min(max(weighted / total, -10), 35))
    return np.mean(ratios)
