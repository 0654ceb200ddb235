"""Tests STOI and ESTOI on the device against the host, which uses the package `pystoi`."""

import jax
import numpy as np
import pystoi
import pytest

import jaxgan.scores
from jaxgan.core.errors import UserError
from jaxgan.scores.device import estoi, stoi

SCORES = {"stoi": stoi, "estoi": estoi}
SECONDS = (1.2, 2.0, 0.7, 1.6)


@pytest.mark.parametrize(
    ("name", "sample_rate"),
    [("stoi", 16000), ("stoi", 10000), ("stoi", 8000), ("stoi", 44100), ("estoi", 16000)],
)
def test_equals_the_host(make_pairs, batch, name, sample_rate):
    pairs = make_pairs(SECONDS, sample_rate)
    host = jaxgan.scores.get(name)
    expected = [host(*pair, sample_rate) for pair in pairs]
    assert np.ptp(expected) > 0.005
    np.testing.assert_allclose(SCORES[name](*batch(pairs), sample_rate), expected, atol=1e-4)


def test_does_not_depend_on_the_batch(make_pairs, batch):
    pairs = make_pairs([1.5, 1.0] * 16)
    together = stoi(*batch(pairs, 30000))
    np.testing.assert_allclose(stoi(*batch(pairs[:1])), together[:1], atol=1e-5)
    np.testing.assert_allclose(stoi(*batch(pairs), group=32), together, atol=1e-5)
    with jax.disable_jit():
        eager = stoi(*batch(pairs[:1]))
    np.testing.assert_allclose(eager, together[:1], atol=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_exactly_the_pairs_that_the_host_cannot_score_are_nan(make_pairs, batch, name):
    clean, noisy = make_pairs([1.0])[0]
    with_infinity = noisy.copy()
    with_infinity[3] = np.inf
    brief = np.where(np.arange(len(clean)) < 5000, clean, 0).astype(np.float32)
    pairs = [
        (clean, noisy),
        (np.zeros_like(clean), noisy),
        (clean, np.zeros_like(clean)),
        (clean, with_infinity),
        (clean[:6000], noisy[:6000]),
        (clean[:0], noisy[:0]),
        (brief, noisy),
    ]
    host = jaxgan.scores.get(name)
    expected = [host(*pair, 16000) for pair in pairs]
    assert np.isnan(expected[1:]).all()
    np.testing.assert_allclose(SCORES[name](*batch(pairs)), expected, atol=1e-4)


@pytest.mark.parametrize("name", SCORES)
def test_gradient_equals_finite_differences_next_to_pairs_without_a_score(
    make_pairs, batch, finite_differences, name
):
    clean, noisy = make_pairs([0.9])[0]
    pairs = [(clean, noisy), (clean * 0, noisy), (clean[:6000], noisy[:6000]), (clean[:0],) * 2]
    reference, estimate, lengths = batch(pairs)
    with jax.enable_x64(True):
        reference = reference.astype(np.float64)
        gradient = finite_differences(
            lambda x: -jax.numpy.nanmean(SCORES[name](reference, x, lengths)), estimate, lengths
        )
    assert not gradient[1:].any()


def test_removes_silent_frames_as_the_package_does(make_pairs, batch):
    clean, noisy = make_pairs([2.0])[0]
    gate = np.sin(2 * np.pi * 5 * np.arange(len(clean)) / 16000) > -0.3
    pair = (np.where(gate, clean, 0).astype(np.float32), noisy)
    expected = pystoi.stoi(*(side.astype(float) for side in pair), 16000)
    without_removal = stoi(*batch([(clean, noisy)]))[0]
    score = stoi(*batch([pair]))[0]
    assert abs(score - expected) < 1e-4 < abs(without_removal - expected)


def test_unsupported_sample_rates_are_rejected(make_pairs, batch):
    with pytest.raises(UserError, match="11025"):
        stoi(*batch(make_pairs([0.5])), 11025)
