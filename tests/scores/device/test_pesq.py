"""Tests PESQ on the device against the package, and in different batches."""

import functools

import jax
import numpy as np
import pesq as package
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jaxgan.scores
from jaxgan.core.errors import UserError
from jaxgan.scores.device import pesq_nb, pesq_wb, stoi
from jaxgan.speech.data import audio, demo

SECONDS = (2.0, 1.4, 2.9, 2.2, 0.9, 2.6, 1.7, 3.0)


def expected_scores(pairs, mode, sample_rate=16000):
    return [package.pesq(sample_rate, *pair, mode) for pair in pairs]


@pytest.fixture
def pairs(make_pairs):
    return make_pairs(SECONDS)


def test_wide_band_equals_the_package(pairs, batch):
    arrays = batch(pairs, 48000)
    expected = expected_scores(pairs, "wb")
    scores = pesq_wb(*arrays)
    np.testing.assert_allclose(scores, expected, atol=5e-4)
    # Some of these pairs have bad intervals, so their realignment is tested too.
    without = np.asarray(pesq_wb(*arrays, bad_intervals=False))
    assert np.abs(without - expected).max() > 5e-3
    assert np.abs(without - expected).min() < 5e-4


def test_wide_band_reproduces_the_rounding_noise_of_float32(make_pairs, batch):
    low_passed = []
    for clean, noisy in make_pairs(SECONDS):
        spectrum = np.fft.rfft(clean)
        spectrum[len(spectrum) // 2 :] = 0
        low_passed.append((np.fft.irfft(spectrum, len(clean)).astype(np.float32), noisy))
    arrays = batch(low_passed, 48000)
    expected = expected_scores(low_passed, "wb")
    np.testing.assert_allclose(pesq_wb(*arrays), expected, atol=2e-3)


def test_the_package_locks_on_a_false_delay_where_the_estimate_fades_out(batch):
    corpus = demo.open_set("valid", 12, 0)
    first, second = (audio.to_float(corpus.clean(number)) for number in range(2))
    clean = np.concatenate([first, np.zeros(4800), second]).astype(np.float32)
    fades = 10 ** (np.outer([-20, -40, -80], np.linspace(0, 1, len(clean))) / 20)
    pairs = [(clean, (clean * fade).astype(np.float32)) for fade in fades]
    expected, scores = expected_scores(pairs, "wb"), pesq_wb(*batch(pairs))
    np.testing.assert_allclose(scores[:2], expected[:2], atol=2e-3)
    assert scores[2] < scores[1] < scores[0]
    assert expected[2] > expected[1] + 0.5  # the estimate with the least speech left
    assert expected[2] - scores[2] > 1


@pytest.mark.parametrize("sample_rate", [16000, 8000])
def test_narrow_band_equals_the_package(make_pairs, batch, sample_rate):
    pairs = make_pairs(SECONDS[:4], sample_rate)
    scores = pesq_nb(*batch(pairs), sample_rate)
    expected = expected_scores(pairs, "nb", sample_rate)
    np.testing.assert_allclose(scores, expected, atol=5e-4)


def test_eight_devices_with_longer_padding_give_the_same(pairs, batch):
    arrays = batch(pairs, 50000)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = PartitionSpec("data")
    sharded = [jax.device_put(array, NamedSharding(mesh, rows)) for array in arrays]
    scores = jax.jit(jax.shard_map(pesq_wb, mesh=mesh, in_specs=rows, out_specs=rows))(*sharded)
    assert scores.sharding.spec == rows
    np.testing.assert_allclose(scores, pesq_wb(*batch(pairs, 48000)), atol=1e-4)


@pytest.mark.parametrize("score", [pesq_wb, stoi])
def test_devices_score_their_own_rows(score, pairs, batch):
    arrays = batch(pairs, 48000)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    sharded = jax.device_put(arrays, rows)
    with jax.set_mesh(mesh):
        compiled = score.lower(*sharded).compile()
        scores = compiled(*sharded)
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in compiled.as_text()
    assert scores.sharding.is_equivalent_to(rows, 1)
    np.testing.assert_allclose(scores, score(*arrays), atol=1e-5)


def test_identical_signals_have_the_highest_score(pairs, batch):
    clean = [(clean, clean) for clean, _ in pairs]
    np.testing.assert_allclose(pesq_wb(*batch(clean, 48000)), 4.6439, atol=1e-4)


def unscorable_pairs(clean, noisy, sample_rate=16000):
    zeros = np.zeros_like(clean)
    burst = np.where((np.arange(len(clean)) // (sample_rate // 10)) == 5, clean, 0)
    short = sample_rate // 4 - 1
    with_nan = noisy.copy()
    with_nan[100] = np.nan
    with_infinity = clean.copy()
    with_infinity[-1] = np.inf
    return [
        (zeros, noisy),
        (clean, zeros),
        (burst, noisy),
        (clean, with_nan),
        (with_infinity, noisy),
        (clean[:short], noisy[:short]),
        (clean[:0], noisy[:0]),
    ]


def test_exactly_the_pairs_that_the_host_cannot_score_are_nan(pairs, batch):
    unscorable = unscorable_pairs(*pairs[0])
    host = jaxgan.scores.get("pesq_wb")
    assert all(np.isnan(host(*pair, 16000)) for pair in unscorable)
    scores = np.asarray(pesq_wb(*batch([pairs[0], *unscorable], 48000)))
    assert np.isnan(scores[1:]).all()
    np.testing.assert_allclose(scores[0], expected_scores(pairs[:1], "wb")[0], atol=5e-4)


@pytest.mark.parametrize(
    ("score", "sample_rate"),
    [(pesq_wb, 16000), (functools.partial(pesq_nb, bad_intervals=False), 8000)],
)
def test_gradient_equals_finite_differences_next_to_pairs_without_a_score(
    make_pairs, batch, finite_differences, score, sample_rate
):
    scored = make_pairs([1.2, 1.2], sample_rate)[1]
    reference, estimate, lengths = batch([scored, *unscorable_pairs(*scored, sample_rate)])
    with jax.enable_x64(True):
        reference = reference.astype(np.float64)

        def loss(estimate):
            return -jax.numpy.nanmean(score(reference, estimate, lengths, sample_rate, group=8))

        gradient = finite_differences(loss, estimate, lengths)
    assert not gradient[1:].any()


def test_other_sample_rates_are_rejected(pairs, batch):
    with pytest.raises(UserError, match="8000"):
        pesq_wb(*batch(pairs[:1]), 8000)
    with pytest.raises(UserError, match="44100"):
        pesq_nb(*batch(pairs[:1]), 44100)


def test_mismatched_shapes_are_rejected(pairs, batch):
    reference, estimate, lengths = batch(pairs)
    with pytest.raises(ValueError, match="both be"):
        pesq_wb(reference, estimate[:, :-1], lengths)
    with pytest.raises(ValueError, match="lengths must be"):
        pesq_wb(reference, estimate, lengths[:3])
