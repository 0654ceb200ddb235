"""Segmental SNR, LLR and WSS against plain float64 loops over their published definitions."""

import math

import jax
import numpy as np
import pesq
import pytest
import scipy.linalg

from jaxgan.scores.device import cbak, composite, covl, csig, llr, ssnr, wss
from jaxgan.scores.device.segmental import _CENTRES, _WIDTHS


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


def lowest(distances):
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
        least, found = (a @ form @ a for a in predictors)
        distances.append(math.log(found / least))
    return lowest(distances)


def plain_wss(clean, processed, sample_rate):
    size = 2 ** math.ceil(math.log2(2 * round(0.03 * sample_rate)))
    half = size // 2
    bins = np.arange(half)
    filters = []
    for centre, width in zip(_CENTRES, _WIDTHS, strict=True):
        middle = math.floor(centre / (sample_rate / 2) * half)
        spread = width / (sample_rate / 2) * half
        shape = np.exp(-11 * ((bins - middle) / spread) ** 2 + math.log(_WIDTHS[0] / width))
        filters.append(shape * (shape > math.exp(-30 / (2 * 2.303))))

    def levels(frame):
        power = np.abs(np.fft.fft(frame, size)[:half]) ** 2
        return 10 * np.log10(np.maximum(np.array(filters) @ power, 1e-10))

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
            far, near = max(level) - level[i], peak - level[i]
            result.append(20 / (20 + far) * 1 / (1 + near))
        return np.array(result)

    distances = []
    for c, p in frame_pairs(clean, processed, sample_rate):
        level = levels(c), levels(p)
        slope = np.diff(level[0]), np.diff(level[1])
        weight = (weights(level[0], slope[0]) + weights(level[1], slope[1])) / 2
        distances.append(np.sum(weight * (slope[0] - slope[1]) ** 2) / np.sum(weight))
    return lowest(distances)


@pytest.mark.parametrize("sample_rate", [16000, 8000])
@pytest.mark.parametrize(
    ("score", "plain", "tolerance"),
    [(ssnr, plain_ssnr, 1e-3), (llr, plain_llr, 2e-3), (wss, plain_wss, 1e-2)],
)
def test_equals_a_plain_loop(make_pairs, batch, score, plain, tolerance, sample_rate):
    pairs = make_pairs([0.8, 1.1, 0.6], sample_rate)
    expected = [plain(*pair, sample_rate) for pair in pairs]
    scores = score(*batch(pairs, int(1.3 * sample_rate)), sample_rate)
    np.testing.assert_allclose(scores, expected, atol=tolerance)


@pytest.mark.parametrize("score", [ssnr, llr, wss])
def test_gradient_is_finite_beside_items_without_signal_or_frame(make_pairs, batch, score):
    clean, noisy = make_pairs([0.4], 8000)[0]
    gap = np.where((np.arange(len(clean)) // 800) % 2 == 0, clean, 0).astype(np.float32)
    pairs = [(gap, noisy), (gap, gap), (clean * 0, noisy), (clean, noisy * 0), (clean[:250],) * 2]
    reference, estimate, lengths = batch(pairs)

    def loss(estimate):
        scores = score(reference, estimate, lengths, 8000, group=8)
        return jax.numpy.nanmean(scores), scores

    gradient, scores = jax.jit(jax.grad(loss, has_aux=True))(estimate)
    np.testing.assert_array_equal(np.isnan(scores), [False, False, True, True, True])
    assert np.isfinite(gradient).all()
    assert np.asarray(gradient)[0].any()


def test_opinions_are_the_published_sums(make_pairs, batch):
    pairs = make_pairs([2.0, 1.4])
    arrays = batch(pairs, 48000)
    opinions = composite(*arrays)
    quality, snr, ratio, slope = (np.asarray(part) for part in opinions[3:])
    expected = [pesq.pesq(16000, *pair, "wb") for pair in pairs]
    np.testing.assert_allclose(quality, expected, atol=5e-4)
    for part, plain in ((snr, plain_ssnr), (ratio, plain_llr), (slope, plain_wss)):
        np.testing.assert_allclose(part, [plain(*pair, 16000) for pair in pairs], atol=1e-2)
    expected = np.clip(3.093 - 1.029 * ratio + 0.603 * quality - 0.009 * slope, 1, 5)
    np.testing.assert_allclose(csig(*arrays), expected, atol=1e-4)
    expected = np.clip(1.634 + 0.478 * quality - 0.007 * slope + 0.063 * snr, 1, 5)
    np.testing.assert_allclose(cbak(*arrays), expected, atol=1e-4)
    expected = np.clip(1.594 + 0.805 * quality - 0.512 * ratio - 0.007 * slope, 1, 5)
    np.testing.assert_allclose(covl(*arrays), expected, atol=1e-4)
