import jax
import numpy as np

import jaxgan.scores
from jaxgan.scores.device import si_sdr


def test_equals_the_host(make_pairs, batch):
    pairs = make_pairs([0.5, 0.3, 0.7, 0.2])
    clean, noisy = pairs[0]
    pairs += [
        (clean, clean),
        (clean, 0.3 * noisy + 0.2),
        (clean, -noisy),
        (clean * 1e-15, noisy * 1e15),
        (clean, np.full_like(clean, 0.3)),
        (np.zeros_like(clean), noisy),
        (clean[:0], noisy[:0]),
        (clean, np.where(np.arange(len(clean)) == 7, np.nan, noisy)),
    ]
    host = jaxgan.scores.get("si_sdr")
    expected = [host(*pair, 16000) for pair in pairs]
    scores = np.asarray(si_sdr(*batch(pairs)))
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    assert np.isnan(scores).sum() == 4


def test_accepts_int16(make_pairs, batch):
    reference, estimate, lengths = batch(make_pairs([0.5, 0.3]))
    integers = [(8000 * np.tanh(x)).astype(np.int16) for x in (reference, estimate)]
    floating = [(x / 32768).astype(np.float32) for x in integers]
    np.testing.assert_array_equal(si_sdr(*integers, lengths), si_sdr(*floating, lengths))


def test_gradient_is_finite_next_to_pairs_without_a_score(make_pairs, batch):
    clean, noisy = make_pairs([0.2])[0]
    reference, estimate, lengths = batch([(clean, noisy), (clean * 0, noisy), (clean, clean)])

    def loss(estimate):
        return -jax.numpy.nanmean(si_sdr(reference, estimate, lengths))

    gradient = np.asarray(jax.grad(loss)(estimate))
    assert np.isfinite(gradient).all()
    assert gradient[0].any()
    assert not gradient[1].any()
