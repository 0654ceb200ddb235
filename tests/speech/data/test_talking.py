"""The talkers: phonemes, mixtures, and that voices and mouths fit together."""

# ruff: noqa: RUF001 - the International Phonetic Alphabet

import numpy as np
import pytest
from corpora import config

from jaxgan.core.errors import UserError
from jaxgan.speech.data import demo, espeak, mouths, talking
from jaxgan.speech.data.corpora import open_corpora
from jaxgan.speech.data.mix import active_power
from jaxgan.speech.data.videos import FRAME_SAMPLES


@pytest.fixture(scope="module")
def made():
    return talking.make("train", 16, 0, (0.0, -6.0))


def frames(corpus, number, side="target"):
    return getattr(corpus.videos, side)(number)


def test_phonemes_come_in_order_and_leave_the_samples_as_they_are():
    lines = demo.lines(demo.SPLITS["valid"], 3, 0)
    plain, rate = espeak.synthesise(lines)
    waves, phonemes, same_rate = espeak.synthesise_phonemes(lines)
    assert rate == same_rate
    for one, other in zip(plain, waves, strict=True):
        np.testing.assert_array_equal(one, other)
    for wave, found in zip(waves, phonemes, strict=True):
        starts = [phoneme.start for phoneme in found]
        assert starts == sorted(starts)
        assert 0 <= starts[0] <= starts[-1] <= len(wave)
        assert len(found) > 15


def test_phonemes_are_where_they_are_heard():
    line = espeak.Line("Ah, ah, ah.", "en-us", "m1", 120, 50, 50)
    (wave,), (phonemes,), _ = espeak.synthesise_phonemes([line])
    vowels = [n for n, phoneme in enumerate(phonemes) if "ɑ" in phoneme.ipa]
    assert len(vowels) == 3
    heard = np.zeros(len(wave), bool)
    for number in vowels:
        heard[phonemes[number].start : phonemes[number + 1].start] = True
    power = np.square(wave.astype(float))
    assert power[heard].mean() > 30 * power[~heard].mean()


def test_the_set_depends_on_its_arguments(made):
    again = talking.make("train", 16, 0, (0.0, -6.0))
    assert again.names == made.names
    np.testing.assert_array_equal(again.videos.frames, made.videos.frames)
    np.testing.assert_array_equal(again.noisy_waves.samples, made.noisy_waves.samples)
    other = talking.make("train", 16, 1, (0.0, -6.0))
    assert other.names != made.names


def test_every_frame_belongs_to_640_samples(made):
    np.testing.assert_array_equal(made.lengths, made.videos.counts * FRAME_SAMPLES)
    assert made.videos.frames.shape[1:] == (mouths.HEIGHT, mouths.WIDTH)
    assert len(made.videos.frames) == 2 * made.videos.counts.sum()


def test_the_mouth_moves_with_its_own_voice(made):
    """A shift by half a second, or the other talker's voice, has a lower correlation."""

    def correlation(side, wave, shift=0):
        loud = np.log10(np.square(wave.reshape(-1, FRAME_SAMPLES).astype(float)).mean(1) + 10)
        dark = -side.reshape(len(side), -1).astype(float).std(1)
        return np.corrcoef(np.roll(loud, shift), dark)[0, 1]

    own, late, foreign = [], [], []
    for number in range(16):
        target, other = frames(made, number), frames(made, number, "other")
        clean = made.clean(number)
        rest = made.noisy(number) - clean.astype(float)
        own += [correlation(target, clean), correlation(other, rest)]
        late.append(correlation(target, clean, 12))
        foreign.append(correlation(other, clean))
    assert abs(np.mean(own)) > 0.25
    assert abs(np.mean(own)) > 2 * max(abs(np.mean(late)), abs(np.mean(foreign)))


def test_ratios_voices_and_names(made):
    for number, name in enumerate(made.names):
        clean = made.clean(number).astype(float)
        rest = made.noisy(number) - clean
        snr = 10 * np.log10(active_power(clean) / active_power(rest))
        # The other sentence may start in its middle, which changes its active level a little.
        assert snr == pytest.approx((0.0, -6.0)[number % 2], abs=1.5)
        _, voice, _, other = name.split("_")
        assert voice != other
        assert {voice, other} <= set(demo.SPLITS["train"].voices)
    assert made.conditions["snr"][:3] == ("0", "-6", "0")


def test_noise_can_be_added():
    quiet, loud = (talking.make("valid", 4, 0, (0.0,), snrs) for snrs in ((), (3.0,)))
    assert loud.conditions["noise"] == talking.NOISE_KINDS
    for number in range(4):
        clean = loud.clean(number).astype(float)
        gain = np.abs(clean).max() / np.abs(quiet.clean(number).astype(float)).max()
        noise = loud.noisy(number) - clean - gain * (quiet.noisy(number) - quiet.clean(number))
        snr = 10 * np.log10(active_power(clean) / np.mean(np.square(noise)))
        assert snr == pytest.approx(3.0, abs=0.5)


def test_a_set_is_generated_once(monkeypatch, own_cache):
    first = talking.open_set("test", 2, 0, (0.0,), ())
    monkeypatch.setattr(talking, "make", None)
    second = talking.open_set("test", 2, 0, (0.0,), ())
    assert second.names == first.names
    assert second.conditions == first.conditions
    np.testing.assert_array_equal(first.noisy_waves.samples, second.noisy_waves.samples)
    np.testing.assert_array_equal(first.videos.frames, second.videos.frames)


def test_selected_utterances_keep_their_videos(made):
    chosen = made.select(np.array([5, 2]))
    np.testing.assert_array_equal(frames(chosen, 1), frames(made, 2))
    np.testing.assert_array_equal(frames(chosen, 0, "other"), frames(made, 5, "other"))


def test_settings_are_checked():
    settings = config(kind="talking", snrs=(0.0,))
    settings.data.talking.update(train=1, valid=2)
    with pytest.raises(UserError, match=r"config.data.talking.train=1: give at least 2"):
        open_corpora(settings, lambda _: None)
    settings.data.snrs = ()
    with pytest.raises(UserError, match=r"config.data.snrs is empty"):
        open_corpora(settings, lambda _: None)
