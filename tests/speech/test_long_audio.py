import jax
import numpy as np
import pytest
import soxr
from scipy import signal
from workdirs import make_enhancer, tiny_config, tiny_params

from jaxgan.core import devices
from jaxgan.speech.long_audio import OVERLAP, PIECE, cut, enhance_clips, fade_in, join, resample


def blocks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("length", [0, 1, 29, 30, 31, 99, 100, 101, 160, 169, 170, 171, 1000, 1234])
@pytest.mark.parametrize("size", [1, 64, 5000])
def test_joining_pieces_restores_the_stream(length, size):
    samples = np.random.default_rng(0).standard_normal((length, 2)).astype(np.float32)
    pieces = list(cut(blocks(samples, size), 100, 30))
    joined = list(join(pieces, 30))
    if length == 0:
        assert pieces == joined == []
        return
    np.testing.assert_allclose(np.concatenate(joined), samples, rtol=0, atol=1e-6)
    sizes = [len(piece) for piece in pieces]
    assert max(sizes) <= 100
    if length > 100:
        assert sum(sizes) == length + 30 * (len(pieces) - 1)
        assert sizes[:-2] == [100] * (len(pieces) - 2)
        assert sizes[-2] in (sizes[-1], sizes[-1] - 1)
        assert sizes[-1] > 60


@pytest.mark.parametrize("length", [100, 101, 170, 171, 1000, 1234])
def test_pieces_start_on_a_grid(length):
    samples = np.random.default_rng(0).standard_normal((length, 1)).astype(np.float32)
    pieces = list(cut(blocks(samples, 64), 100, 30, grid=8))
    np.testing.assert_allclose(np.concatenate(list(join(pieces, 30))), samples, rtol=0, atol=1e-6)
    starts = np.cumsum([0, *(len(piece) - 30 for piece in pieces[:-1])])
    assert not (starts % 8).any()
    assert max(len(piece) for piece in pieces) <= 108
    assert len(pieces) == 1 or min(len(piece) for piece in pieces) > 52


def test_at_most_two_pieces_of_a_stream_are_in_memory():
    read = 0

    def stream():
        nonlocal read
        for _ in range(1000):
            read += 10
            yield np.zeros((10, 1))

    given = 0
    for piece in cut(stream(), 100, 30):
        given += len(piece) - 30
        assert read - given <= 200 + 10


def test_weights_of_two_pieces_add_up_to_one():
    fade = fade_in(OVERLAP)
    np.testing.assert_allclose(fade + fade[::-1], 1, atol=1e-6)
    assert (np.diff(fade) >= 0).all()
    assert (fade[: OVERLAP // 5] == 0).all()


def test_pieces_of_different_levels_are_cross_faded_slowly():
    level = np.ones((1000, 1), np.float32)
    pieces = [
        piece * (1 if number % 2 else 0.5) for number, piece in enumerate(cut([level], 100, 30))
    ]
    joined = np.concatenate(list(join(pieces, 30)))
    hard = np.concatenate([*(piece[:-30] for piece in pieces), pieces[-1][-30:]])
    assert joined.shape == hard.shape == level.shape
    assert np.abs(np.diff(hard, axis=0)).max() == 0.5
    # The steepest step of a raised cosine over half of the overlap, 15 samples, is pi / 2 / 15.
    assert np.abs(np.diff(joined, axis=0)).max() < 0.5 * np.pi / 2 / 14
    assert joined.min() == 0.5
    assert joined.max() == 1


def hum(samples: int) -> np.ndarray:
    """Returns a voice below 1 kHz with varying pitch and level, float32 [n]."""
    time = np.arange(samples) / 16000
    pitch = 2 * np.pi * (120 * time + 3 * np.sin(2 * np.pi * 0.9 * time))
    level = 10 ** (-0.5 + 0.5 * np.sin(2 * np.pi * 0.31 * time))
    return (0.2 * level * sum(np.sin(k * pitch) / k for k in range(1, 6))).astype(np.float32)


def test_cross_fades_are_inaudible_where_hard_cuts_click():
    config = tiny_config()
    enhancer = make_enhancer(config, tiny_params(config, 1), devices.make_mesh(1))
    wave, piece, overlap = hum(2**17), 2**15, 2**13
    noisy = [part[:, 0] for part in cut([wave[:, None]], piece, overlap)]
    pieces = [made[:, None] for _, made in enhancer.each(enumerate(noisy))]
    joined = np.concatenate(list(join(pieces, overlap)))[:, 0]
    middle = overlap // 2
    inner = [part[middle:-middle] for part in pieces[1:-1]]
    hard = np.concatenate([pieces[0][:-middle], *inner, pieces[-1][middle:]])[:, 0]
    assert joined.shape == hard.shape == wave.shape
    # The enhanced hum has no speech above 4 kHz, only clicks and changes of the mask.
    above = signal.butter(8, 4000, "high", fs=16000, output="sos")
    clicks = {
        name: np.abs(signal.sosfiltfilt(above, side))
        for name, side in (("hard", hard), ("joined", joined))
    }
    usual = np.quantile(clicks["joined"], 0.99)
    starts = np.cumsum([len(part) - overlap for part in pieces[:-1]])
    peaks = {
        name: [side[start + middle - 80 : start + middle + 80].max() for start in starts]
        for name, side in clicks.items()
    }
    assert max(peaks["hard"]) > 3 * usual
    assert max(peaks["joined"]) < usual


def test_pieces_of_one_utterance_differ_little_from_the_whole():
    config = tiny_config()
    # Parameters a third as large as in the other tests make the network less sensitive to context.
    params = jax.tree.map(lambda leaf: leaf / 3, tiny_params(config, 1))
    enhancer = make_enhancer(config, params, devices.make_mesh(1))
    wave = hum(2**17)
    [(_, whole)] = enhancer.each([(0, wave)])
    noisy = [part[:, 0] for part in cut([wave[:, None]], 2**15, 2**13)]
    pieces = [made[:, None] for _, made in enhancer.each(enumerate(noisy))]
    joined = np.concatenate(list(join(pieces, 2**13)))[:, 0]
    assert np.std(joined - whole) < 10 ** (-25 / 20) * np.std(whole)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_resampling_a_stream_equals_resampling_the_whole(rate):
    whole = np.random.default_rng(0).standard_normal((rate + 17, 2)).astype(np.float32)
    expected = whole if rate == 16000 else soxr.resample(whole, rate, 16000, quality="HQ")
    for size in (999, 20000):
        found = np.concatenate(list(resample(blocks(whole, size), rate, 16000, 2)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_waveforms_of_any_length_keep_their_length():
    config = tiny_config()
    enhancer = make_enhancer(config, tiny_params(config), devices.make_mesh(1))
    random = np.random.default_rng(0)
    lengths = {"short": 1000, "long": PIECE + OVERLAP}
    waves = {
        name: (0.1 * random.standard_normal(length)).astype(np.float32)
        for name, length in lengths.items()
    }
    clips = ((name, wave, None) for name, wave in waves.items())
    enhanced = dict(enhance_clips(enhancer, clips))
    assert {name: len(wave) for name, wave in enhanced.items()} == lengths
    [(_, short)] = enhancer.each([(0, waves["short"])])
    np.testing.assert_allclose(enhanced["short"], short, rtol=0, atol=1e-6)
