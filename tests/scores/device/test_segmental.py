"""Tests segmental SNR, LLR and WSS on the device against plain float64 loops."""

import jax
import numpy as np
import pesq
import pytest
from plain_segmental import plain_llr, plain_ssnr, plain_wss

from jaxgan.scores.device import cbak, composite, covl, csig, llr, ssnr, wss


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
def test_gradient_is_finite_next_to_pairs_without_signal_or_frames(make_pairs, batch, score):
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


def test_opinions_equal_the_published_regressions(make_pairs, batch):
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
