import jax
import numpy as np
import pytest
from workdirs import load, make_enhancer, make_workdir, tiny_config, tiny_params

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech import enhancer
from jaxgan.speech.enhancer import batches, padded_length
from jaxgan.speech.networks.masking import enhance, make_masking

LENGTHS = (1, 300, 1600, 16000, 17000, 9999, 256, 16384, 511, 4000, 12000)


def noise(length: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


@pytest.fixture(scope="module")
def config():
    return tiny_config()


@pytest.fixture(scope="module")
def on_one_device(config):
    return make_enhancer(config, tiny_params(config), devices.make_mesh(1))


def alone(config, params, wave):
    """One wave through the network, padded to the next hop and no further."""
    masking = make_masking(config)
    padded = np.pad(wave, (0, -len(wave) % masking.front_end.hop))
    lengths = np.array([len(wave)])
    enhanced = jax.jit(enhance, static_argnums=0)(masking, params, padded[None], lengths)
    return np.asarray(enhanced)[0, : len(wave)]


def test_a_stream_gives_what_each_wave_alone_gives_in_order(config, on_one_device):
    waves = [(f"w{n}", noise(length, n)) for n, length in enumerate(LENGTHS)]
    enhanced = list(on_one_device.each(waves))
    assert [tag for tag, _ in enhanced] == [tag for tag, _ in waves]
    for (_, wave), (_, made) in zip(waves[::3], enhanced[::3], strict=True):
        assert made.dtype == np.float32
        expected = alone(config, tiny_params(config), wave)
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)
        assert np.abs(expected - wave).max() > 1e-3


def test_eight_devices_give_what_one_gives(config, on_one_device):
    everywhere = make_enhancer(config, tiny_params(config), devices.make_mesh())
    waves = [(number, noise(length, number)) for number, length in enumerate(LENGTHS)]
    for one, eight in zip(on_one_device.each(waves), everywhere.each(waves), strict=True):
        np.testing.assert_allclose(one[1], eight[1], rtol=0, atol=1e-5)


def test_a_call_takes_a_padded_batch_and_reads_nothing_behind_the_waves(on_one_device):
    noisy = np.stack([noise(5000, seed) for seed in range(3)])
    lengths = np.array([5000, 700, 0])
    enhanced = on_one_device(noisy, lengths)
    assert enhanced.shape == noisy.shape
    dirty = np.where(np.arange(5000) < lengths[:, None], noisy, np.nan)
    np.testing.assert_array_equal(on_one_device(dirty, lengths), enhanced)
    assert (enhanced[1, 700:] == 0).all()
    assert (enhanced[2] == 0).all()
    assert enhanced[1, :700].any()


def test_silence_stays_silence(on_one_device):
    enhanced = on_one_device(np.zeros((1, 8000), np.float32), np.array([8000]))
    np.testing.assert_array_equal(enhanced, 0)


def test_lengths_that_are_compiled_are_few_and_close():
    lengths = [padded_length(samples, 256) for samples in range(1, 2**19 + 1, 97)]
    assert len(set(lengths)) <= 11
    assert all(length % 256 == 0 for length in lengths)
    for samples, length in zip(range(1, 2**19 + 1, 97), lengths, strict=True):
        assert samples <= length <= max(1.5 * samples, enhancer.SHORTEST)
    assert padded_length(2**19, 256) == 2**19
    assert padded_length(20000, 160) % 160 == 0
    assert padded_length(0, 256) == enhancer.SHORTEST


def test_batches_are_bounded_in_rows_and_in_samples(monkeypatch):
    monkeypatch.setattr(enhancer, "ROW_SAMPLES", 1000)
    lengths = [10] * 9 + [1000, 4000, 10, 9000, 2000, 2000, 2000]
    clips = [(number, np.zeros(length), None) for number, length in enumerate(lengths)]
    found = [[tag for tag, *_ in batch] for batch in batches(iter(clips), 4, lambda n: n)]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10], [11], [12], [13, 14], [15]]


def test_a_run_is_loaded_from_its_folder_alone(tmp_path, config):
    workdir = make_workdir(tmp_path / "run", rounds=2)
    wave = noise(1000)
    length = np.array([1000])
    expected = {seed: alone(config, tiny_params(config, seed), wave) for seed in (1, 2)}
    assert np.abs(expected[1] - expected[2]).max() > 1e-3
    for checkpoint, seed in (("best", 1), ("last", 2), ("1", 1), ("2", 2)):
        loaded = load(workdir, checkpoint)
        made = loaded(wave[None], length)[0]
        np.testing.assert_allclose(made, expected[seed], rtol=0, atol=1e-5)
    assert loaded.config.generator.width == 4
    with pytest.raises(UserError, match=r"no checkpoint '3'; give best, last, or one of .* 1, 2"):
        load(workdir, "3")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not the folder of a run"):
        load(tmp_path / "nowhere")
    untrained = make_workdir(tmp_path / "untrained", rounds=0)
    with pytest.raises(UserError, match="holds no checkpoint; train first"):
        load(untrained)


def test_the_first_batch_does_not_wait_for_the_whole_stream(on_one_device):
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield read[-1], np.zeros(100, np.float32)

    stream = on_one_device.each(endless())
    assert [next(stream)[0] for _ in range(20)] == list(range(20))
    assert len(read) <= 20 + 3 * enhancer.ROWS
