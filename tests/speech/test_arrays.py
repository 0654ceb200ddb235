"""Arrays and streams of samples, enhanced by what `jaxgan.load` returns."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from workdirs import make_workdir

import jaxgan
from jaxgan.commands import enhance
from jaxgan.core.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("arrays") / "run")


@pytest.fixture(scope="module")
def enhancer(run):
    return jaxgan.load(run)


def noise(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_an_array_gives_what_its_file_gives(run, enhancer, tmp_path, rate):
    samples = noise(2, 20001)
    soundfile.write(tmp_path / "noisy.wav", samples.T, rate, subtype="FLOAT")
    flags = [f"--workdir={run}", f"--input={tmp_path / 'noisy.wav'}", f"--output={tmp_path / 'o'}"]
    assert enhance.main(flags) == 0
    expected, _ = soundfile.read(tmp_path / "o" / "noisy.wav", dtype="float32")
    found = enhancer(samples, rate)
    assert found.shape == samples.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.T, atol=1e-5)
    assert np.abs(found - samples).max() > 1e-3


def test_shape_and_type_stay(enhancer):
    samples = noise(5000)
    expected = enhancer(samples, 16000)
    np.testing.assert_allclose(enhancer(samples.astype(np.float64), 16000), expected, atol=1e-6)
    assert enhancer(samples.astype(np.float64), 16000).dtype == np.float64
    whole = np.round(samples * 32768).astype(np.int16)
    found = enhancer(whole, 16000)
    assert found.dtype == np.int16
    np.testing.assert_allclose(found / 32768, expected, atol=3e-3)
    assert enhancer(samples[None], 16000).shape == (1, 5000)


def test_a_list_and_the_other_byte_order_are_samples_too(enhancer):
    samples = noise(5000)
    expected = enhancer(samples, 16000)
    for other in (samples.tolist(), samples.astype(">f4"), samples[::-1][::-1]):
        np.testing.assert_allclose(enhancer(other, np.int64(16000)), expected, atol=1e-6)
    whole = np.round(samples * 32768).astype(">i2")
    found = enhancer(whole, 16000.0)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, enhancer(whole.astype(np.int16), 16000))


def test_the_samples_of_the_caller_do_not_change(enhancer):
    samples = noise(3000)
    before = samples.copy()
    found = enhancer(samples, 16000)
    np.testing.assert_array_equal(samples, before)
    empty = noise(2, 0)
    assert enhancer(empty, 16000).shape == (2, 0)
    assert not np.shares_memory(found, samples)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_few_samples_stay_few(enhancer, length):
    assert enhancer(noise(length), 48000).shape == (length,)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (noise(300, 2), 16000, "samples are 300 x 2, but channels come first: give samples.T"),
        (noise(1, 2, 3), 16000, r"samples are an array of 1 x 2 x 3: give \[n\]"),
        (np.zeros(9, np.int32), 16000, "samples are int32: give int16, float32, float64"),
        (np.array([0.1, np.nan]), 16000, "samples contain NaN or infinite values"),
        (np.full(9, 3000.0), 16000, "float samples reach 3000 where full scale is 1.0"),
        (np.float32(0.1), 16000, r"samples are an array of no dimension: give \[n\]"),
        (noise(9).astype(complex), 16000, "samples are complex128: give int16, float32, float64"),
        (["a", "b"], 16000, "samples are <U1: give int16, float32, float64"),
        ([[0.1, 0.2], [0.1]], 16000, "samples are not an array: its channels differ in length"),
        (None, 16000, "samples are object: give int16, float32, float64"),
        (np.array([np.inf]), 16000, "samples contain NaN or infinite values"),
        (noise(9), "16000", "sample_rate='16000': give a whole number of Hz"),
        (noise(9), None, "sample_rate=None: give a whole number of Hz"),
        (noise(9), np.nan, "sample_rate=nan: give a whole number of Hz"),
        (noise(9), -16000, "sample_rate=-16000: give a whole number of Hz"),
        (noise(9), [16000, 8000], r"sample_rate=\[16000, 8000\]: give a whole number of Hz"),
        (noise(9), 0, "sample_rate=0: give a whole number of Hz"),
        (noise(9), 16000.5, "sample_rate=16000.5: give a whole number"),
    ],
)
def test_what_cannot_be_enhanced_is_named(enhancer, samples, rate, message):
    with pytest.raises(UserError, match=message):
        enhancer(samples, rate)


def test_there_is_one_seed_and_no_other_checkpoint(run):
    with pytest.raises(UserError, match="--seed_index=1: only systems of images and of control"):
        jaxgan.load(run, seed_index=1)
    with pytest.raises(UserError, match="77"):
        jaxgan.load(run, "77")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        jaxgan.load(tmp_path)


def test_runs_from_when_cudnn_was_a_choice_still_enhance(run, enhancer, tmp_path):
    shutil.copytree(run, tmp_path / "old")
    config = json.loads((run / "config.json").read_text())
    config["generator"]["cudnn"] = False
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    samples = noise(3000)
    found = jaxgan.load(tmp_path / "old")(samples, 16000)
    np.testing.assert_array_equal(found, enhancer(samples, 16000))


CAUSAL = ("generator.causal=True", "generator.layers=2")


@pytest.fixture(scope="module", params=["running moments", "log1p without moments"])
def causal(request, tmp_path_factory):
    """An enhancer that streams: with input normalisation, and like configs/metricgan_plus.py."""
    more = {
        "running moments": (),
        "log1p without moments": (
            *("feature=log1p", "generator.normalise=False", "generator.learnable_sigmoid=True"),
        ),
    }
    folder = tmp_path_factory.mktemp("causal") / "run"
    return jaxgan.load(make_workdir(folder, *CAUSAL, *more[request.param]))


def stream_of(enhancer, samples, longest, seed=0):
    """Returns what a stream makes of samples that come in pieces of random lengths."""
    random, stream, start, made = np.random.default_rng(seed), enhancer.stream(), 0, []
    while start < len(samples):
        end = start + random.integers(0, longest + 1)
        made.append(stream.push(samples[start:end]))
        start = end
        # All but the last window has been returned.
        assert sum(map(len, made)) == max(min(start, len(samples)) // 256 - 1, 0) * 256
    return np.concatenate([*made, stream.finish()])


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 511, 512, 513, 20001])
def test_a_stream_equals_the_whole(causal, length):
    samples = noise(length)
    expected = causal(samples, 16000)
    for longest in (700, 97):
        made = stream_of(causal, samples, longest)
        assert made.dtype == np.float32
        assert made.shape == samples.shape
        np.testing.assert_allclose(made, expected, atol=1e-5)
    if length:
        assert np.abs(expected - samples).max() > 1e-3
    np.testing.assert_array_equal(stream_of(causal, samples, 10**6), made)


def test_a_stream_keeps_the_type(causal):
    samples = noise(3000)
    expected = causal(samples, 16000)
    made = stream_of(causal, samples.astype(np.float64), 500)
    assert made.dtype == np.float64
    np.testing.assert_allclose(made, expected, atol=1e-5)
    whole = np.round(samples * 32768).astype(np.int16)
    made = stream_of(causal, whole, 500)
    assert made.dtype == np.int16
    assert np.abs(made.astype(int) - causal(whole, 16000)).max() <= 1


def test_streams_are_independent(causal):
    one, other = causal.stream(), causal.stream()
    samples = noise(2000)
    one.push(noise(1500, seed=1))
    made = np.concatenate([other.push(samples), other.finish()])
    np.testing.assert_allclose(made, causal(samples, 16000), atol=1e-5)


def test_what_a_stream_cannot_use_is_named(causal):
    stream = causal.stream()
    with pytest.raises(UserError, match="a stream has one channel"):
        stream.push(noise(1, 300))
    with pytest.raises(UserError, match="samples contain NaN"):
        stream.push(np.array([np.nan]))
    stream.push(noise(300))
    with pytest.raises(UserError, match="samples are int16, but those before were float32"):
        stream.push(np.zeros(300, np.int16))
    assert len(stream.finish()) == 300
    for use in (stream.finish, lambda: stream.push(noise(1))):
        with pytest.raises(UserError, match="this stream has ended"):
            use()


def test_an_offline_network_does_not_stream(enhancer):
    with pytest.raises(UserError, match="this network is offline, it needs the whole recording"):
        enhancer.stream()
