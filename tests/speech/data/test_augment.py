"""Augmentation on the devices: levels, bands, decay times, and that draws repeat."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import config, pair_corpus
from scipy.signal import fftconvolve
from tiny_runs import make_batch, tiny_config

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.data import augment
from jaxgan.speech.data.batching import Loader
from jaxgan.speech.systems import metricgan

EVERYTHING = {
    "reverb_share": 0.5,
    "band_share": 0.5,
    "bands": (2000.0, 4000.0),
    "gains": (-20.0, 6.0),
}


def augmentation(**settings):
    return augment.make_augmentation(config(**settings).data)


def keys(rows, seed=0):
    return jax.random.split(jax.random.key(seed), rows)


def augmented(batch, rows=None, **settings):
    function = jax.jit(functools.partial(augment.augment, augmentation(**settings)))
    sides = batch.clean, batch.noisy, batch.lengths, keys(len(batch.lengths))
    return [np.asarray(side) for side in function(*(part[:rows] for part in sides))]


def decibels(power):
    return 10 * np.log10(power)


@pytest.mark.parametrize("t60", [0.2, 0.5, 0.9])
def test_the_energy_of_a_response_decays_by_60_db_in_the_reverberation_time(t60):
    """By Schroeder's backward integration between -5 and -35 dB, averaged over responses."""
    made = jax.vmap(lambda key: augment.response(key, t60, 0.0, 16000))(keys(40))
    tail = np.asarray(made, np.float64)[:, 1:]
    left = decibels(np.cumsum(np.sum(tail[:, ::-1] ** 2, axis=0))[::-1] / np.sum(tail**2))
    start, end = np.argmax(left < -5), np.argmax(left < -35)
    assert 2 * (end - start) / 16000 == pytest.approx(t60, rel=0.03)


@pytest.mark.parametrize("ratio", [-3.0, 0.0, 10.0])
def test_the_direct_sound_has_the_requested_ratio_to_the_reflections(ratio):
    made = np.asarray(augment.response(jax.random.key(0), 0.4, ratio, 8000), np.float64)
    assert made[0] == 1
    assert decibels(1 / np.sum(made[1:] ** 2)) == pytest.approx(ratio, abs=1e-3)


def test_the_clean_side_keeps_the_direct_path_and_the_first_50_ms():
    random = np.random.default_rng(0)
    clean = random.standard_normal(6000).astype(np.float32)
    clean[5000:] = 0
    room = np.asarray(augment.response(jax.random.key(1), 0.5, 3.0, 8000))
    early = np.where(np.arange(8000) <= 800, room, 0)
    target, wet = augment.reverberate(
        jnp.asarray(clean)[None], jnp.asarray(room)[None], jnp.array([5000])
    )
    expected, whole = (
        fftconvolve(clean.astype(np.float64), response)[:5000] for response in (early, room)
    )
    factor = np.sqrt(np.sum(clean[:5000] ** 2) / np.sum(whole**2))
    np.testing.assert_allclose(target[0, :5000], factor * expected, atol=1e-5)
    np.testing.assert_allclose(wet[0, :5000], factor * whole, atol=1e-5)
    assert not np.asarray(wet)[0, 5000:].any()
    assert np.abs(expected - whole).max() > 0.1


def test_reverberation_keeps_the_signal_to_noise_ratio():
    batch = make_batch([9000, 8000, 7001, 6500])
    clean, noisy = (np.asarray(side, np.float64) for side in (batch.clean, batch.noisy))
    noise = noisy - clean
    target, mixture = augmented(batch, reverb_share=1.0)
    for row, length in enumerate(np.asarray(batch.lengths)):
        one = augment.draw_chances(augmentation(reverb_share=1.0), keys(4)[row])
        whole = fftconvolve(clean[row], np.asarray(one.responses, np.float64))[:length]
        wet = whole * np.sqrt(np.mean(clean[row, :length] ** 2) / np.mean(whole**2))
        # The noise of the mixture is that of the pair, so the ratio is, too.
        made = wet + noise[row, :length]
        peak = np.abs(made).max()
        np.testing.assert_allclose(mixture[row, :length], made * min(1, 32767 / peak), atol=0.6)
    assert not np.stack([target, mixture])[:, 2, 7001:].any()


@pytest.mark.parametrize("edge", [2000.0, 4000.0])
def test_a_band_limit_passes_what_is_below_and_stops_what_is_above(edge):
    (taps,) = augment.low_pass_filters([edge])
    response = np.abs(np.fft.rfft(taps, 16000))  # by Hz
    assert np.abs(decibels(response[: int(0.9 * edge)] ** 2)).max() < 0.05
    assert decibels(response[int(edge) :] ** 2).max() < -59

    batch = make_batch([9000, 8000])
    for side in augmented(batch, band_share=1.0, bands=(edge,)):
        spectrum = np.abs(np.fft.rfft(side[0, 500:8500] * np.hanning(8000), 16000)) ** 2
        above, below = spectrum[int(edge) + 20 :].mean(), spectrum[: int(0.9 * edge)].mean()
        assert decibels(above / below) < -55


def test_a_band_limit_delays_nothing():
    impulse = jnp.zeros((1, 3000)).at[0, 1000].set(1)
    taps = jnp.asarray(augment.low_pass_filters([4000.0]))
    found = np.asarray(augment.limit_band(impulse, taps, jnp.array([2000])))[0]
    assert found.argmax() == 1000
    np.testing.assert_allclose(found[900:1101], found[1100:899:-1], atol=1e-7)


def test_levels_change_by_the_drawn_gain_and_never_exceed_full_scale():
    batch = make_batch([9000, 9000, 9000, 9000])
    made = augmented(batch, gains=(-12.0, -12.0))
    for side, before in zip(made, (batch.clean, batch.noisy), strict=True):
        np.testing.assert_allclose(side, np.asarray(before) * 10 ** (-12 / 20), atol=0.501)
    clean, noisy = augmented(batch, gains=(40.0, 40.0))
    peaks = np.maximum(np.abs(clean.astype(int)).max(1), np.abs(noisy.astype(int)).max(1))
    assert peaks.tolist() == [32767] * 4
    for row in range(4):
        factor = 32767 / max(np.abs(side[row]).max() for side in (batch.clean, batch.noisy))
        np.testing.assert_allclose(clean[row], np.asarray(batch.clean[row]) * factor, atol=0.51)


def test_rows_for_which_nothing_is_drawn_stay_as_they_are():
    batch = make_batch([9000] * 16, rows=17)
    settings = {"reverb_share": 0.5, "band_share": 0.5}
    clean, noisy = augmented(batch, **settings)
    drawn = jax.vmap(lambda key: augment.draw_chances(augmentation(**settings), key))(keys(17))
    still = np.flatnonzero(~(np.asarray(drawn.reverberates) | np.asarray(drawn.limited)))
    assert 1 < len(still) < 12
    np.testing.assert_array_equal(clean[still], np.asarray(batch.clean)[still])
    np.testing.assert_array_equal(noisy[still], np.asarray(batch.noisy)[still])
    assert not np.stack([clean, noisy])[:, 16].any()


def test_padding_changes_nothing_but_roundings():
    short, long = (make_batch([9000, 7001], total=total, rows=3) for total in (9216, 13824))
    for one, other in zip(
        augmented(short, **EVERYTHING), augmented(long, **EVERYTHING), strict=True
    ):
        assert not other[:, 9216:].any()
        difference = np.abs(one.astype(int) - other[:, :9216])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


def test_a_round_depends_only_on_the_seed_and_its_number():
    mesh = devices.make_mesh(1)
    corpus = pair_corpus([8000, 9000, 8500, 7000], buckets=1)

    def play(seed, number, mesh=mesh):
        with Loader(corpus, count=8, batch_size=4, seed=0, mesh=mesh) as loader:
            batches = [batch for batch, _ in loader.round(number)]
        made = augment.Augmenter(augmentation(**EVERYTHING), seed, mesh)(batches, number)
        return [np.asarray(batch.noisy) for batch in made]

    first = play(1, 5)
    play(1, 6)
    np.testing.assert_array_equal(first, play(1, 5))
    on_four = np.stack(play(1, 5, devices.make_mesh(4)))
    assert np.abs(on_four.astype(int) - first).max() <= 1  # other roundings of the transforms
    for other in (play(2, 5), play(1, 6)):
        assert not np.array_equal(first, other)
    # An utterance that is drawn twice in a round is augmented in two ways.
    assert len({batch[row].tobytes() for batch in first for row in range(4)}) == 8


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("t60", (0.0, 0.5)),
        ("gains", (6.0, -6.0)),
        ("reverb_ratios", (0.0,)),
        ("bands", ()),
        ("bands", (8000.0,)),
    ],
)
def test_ranges_that_cannot_be_used_are_named(key, value):
    with pytest.raises(UserError, match=rf"config\.data\.{key}="):
        augmentation(**{key: value})


def test_metricgan_refuses_since_it_replays_the_clean_speech_of_the_corpus():
    chosen = tiny_config(score="si_sdr")
    chosen.data.demo.train, chosen.data.demo.valid = 8, 2
    chosen.data.band_share = 0.5
    with pytest.raises(UserError, match=r"metricgan replays .* set reverb_share=0"):
        metricgan.make(chosen, devices.make_mesh(1))
