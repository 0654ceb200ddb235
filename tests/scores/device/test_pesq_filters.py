"""Tests the level alignment and the filters against plain NumPy and SciPy."""

import jax
import numpy as np
import pytest
import scipy.signal

from jaxgan.core import devices
from jaxgan.scores.device import pesq_constants, pesq_filters


@pytest.mark.parametrize(("mode", "sample_rate"), [("wb", 16000), ("nb", 16000), ("nb", 8000)])
def test_level_is_the_power_within_signal_and_tail(make_speech, mode, sample_rate):
    tables = pesq_constants.tables(sample_rate)
    signal = make_speech(1.3, sample_rate) + 0.05
    padded = np.zeros((1, 2 * sample_rate), np.float32)
    padded[0, : len(signal)] = signal
    spectra = pesq_filters.transform(padded, mode, tables)
    gain = pesq_filters.level_gains(spectra, np.array([len(signal)]), tables)
    size = 2 ** int(np.ceil(np.log2(len(signal) + tables.tail)))
    response = pesq_constants.level_band().amplitude(size, sample_rate)
    filtered = np.fft.irfft(np.fft.rfft(signal, size) * response)
    filtered = filtered[: len(signal) + tables.tail]
    expected = np.sqrt(1e7 / np.mean(filtered**2))
    np.testing.assert_allclose(gain, [expected], rtol=2e-4)


def test_response_is_one_at_1000_hz():
    for response in (pesq_constants.level_band(), pesq_constants.receive_filter()):
        assert response.amplitude(16000, 16000)[1000] == pytest.approx(1.0)


def biquad_in_float32(signal):
    """Filters sample by sample, rounding every product and every sum to float32."""
    b, a = (x.astype(np.float32) for x in pesq_constants.biquad())
    last = second_last = np.float32(0)
    output = np.empty_like(signal)
    for n, sample in enumerate(signal):
        inner = (sample - a[1] * last) - a[2] * second_last
        output[n] = (b[0] * inner + b[1] * last) + b[2] * second_last
        last, second_last = inner, last
    return output


def test_wide_band_filter_rounds_like_float32(make_speech):
    signal = (3e4 * make_speech(2.0)).astype(np.float32)
    plain = biquad_in_float32(signal)
    b, a = (x.astype(np.float32).astype(np.float64) for x in pesq_constants.biquad())
    exact = scipy.signal.lfilter(b, a, signal.astype(np.float64))
    unfused, fused = (
        np.asarray(jax.jit(lambda x, flag=flag: pesq_filters._biquad(x[None], flag))(signal))[0]
        for flag in (True, False)
    )
    # The first chunk starts at rest like the plain loop, so both are equal bit for bit.
    np.testing.assert_array_equal(unfused[:64], plain[:64])
    noise = np.std(plain - exact)
    assert np.std(unfused - exact) == pytest.approx(noise, rel=0.05)
    assert np.std(fused - exact) < 0.9 * noise
    # How LLVM orders the sums of a chunk depends on the processor.
    assert np.abs(unfused - exact).max() < 1.5 * np.abs(plain - exact).max()


def test_wide_band_input_is_faded_and_filtered_up_to_its_length():
    signal = np.zeros((1, 400), np.float32)
    signal[0, :100] = 1.0
    faded = pesq_filters.fade(signal, np.array([100]))
    filtered = np.asarray(pesq_filters.wideband(faded, np.array([100]), True))[0]
    ramp = np.minimum(np.arange(1, 101), np.arange(100, 0, -1)) / 16
    expected = scipy.signal.lfilter(*pesq_constants.biquad(), np.minimum(ramp, 1.0))
    np.testing.assert_allclose(filtered[:100], expected, atol=1e-3)
    assert not filtered[100:].any()


def test_gradient_of_the_filter_is_its_transpose():
    random = np.random.default_rng(0)
    signal, cotangent = random.standard_normal((2, 3, 1000)).astype(np.float32)
    filtered, back = jax.vjp(lambda x: pesq_filters._biquad(x, True), signal)
    np.testing.assert_allclose(
        np.vdot(back(cotangent)[0], signal), np.vdot(cotangent, filtered), rtol=1e-3
    )


def test_the_wide_band_filter_keeps_a_batch_on_its_devices():
    mesh = devices.make_mesh(8)
    signals = np.random.default_rng(0).standard_normal((2, 8, 1000)).astype(np.float32)
    placed = jax.device_put(signals, jax.NamedSharding(mesh, jax.P(None, devices.DATA)))
    biquad = jax.jit(lambda x: pesq_filters._biquad(x, True))
    compiled = biquad.lower(placed).compile()
    assert "all-gather" not in compiled.as_text()
    # One row and eight are different programs, which round differently on some processors.
    np.testing.assert_allclose(compiled(placed), biquad(signals), atol=1e-3)
