import dataclasses

import numpy as np
import pytest
from corpora import config, mix_corpus, save, speech_like, tone
from scipy.signal import fftconvolve

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, mix
from jaxgan.speech.data.corpus import scaled


def decibels(power):
    return 10 * np.log10(power)


def mean_power(samples):
    return np.mean(np.square(samples, dtype=np.float64))


def test_the_active_level_of_a_steady_tone_is_its_power():
    level = mix.active_power(audio.to_int16(tone(2.0)))
    assert decibels(level / (0.3**2 / 2 * 32768**2)) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_pauses_do_not_count(share):
    """The active time of a tone is its duration minus the time that the envelope needs to reach the
    threshold, plus the time it needs to fall below it, plus 0.2 s.
    """
    seconds = 8 * share
    signal = np.concatenate([tone(seconds), np.zeros(round(16000 * (8 - seconds)))])
    level = decibels(mix.active_power(signal) / (0.3**2 / 2))
    # The mean magnitude of a sine of amplitude A is 2 A / pi; two filters of 30 ms smooth it.
    threshold = np.sqrt(0.3**2 / 2) * 10 ** ((level - 15.9) / 20)
    time = np.linspace(0, 0.3, 30001)
    falling = 2 / np.pi * 0.3 * (1 + time / 0.03) * np.exp(-time / 0.03)
    onset = time[np.argmax(falling[0] - falling >= threshold)]
    tail = time[np.argmax(falling < threshold)]
    active = seconds - onset + tail + 0.2
    assert level == pytest.approx(decibels(seconds / active), abs=0.01)


def p56(signal):
    """Returns the active speech level in dB, following ITU-T P.56 (method B) sample by sample."""
    decay = np.exp(-1 / (16000 * 0.03))
    first = second = 0.0
    envelope = []
    for magnitude in np.abs(signal):
        first = decay * first + (1 - decay) * magnitude
        second = decay * second + (1 - decay) * first
        envelope.append(second)

    def level(threshold):
        active, hangover = 0, 3200
        for value in envelope:
            hangover = 0 if value >= threshold else hangover + 1
            active += hangover <= 3200
        return decibels(np.sum(np.square(signal)) / active)

    low, high = -90.0, 20 * np.log10(max(envelope))
    for _ in range(12):
        middle = (low + high) / 2
        above = level(10 ** (middle / 20)) - middle > 15.9
        low, high = (middle, high) if above else (low, middle)
    return level(10 ** (low / 20))


def test_the_active_level_is_that_of_the_recommendation():
    """Bursts of many levels make the result depend on every constant."""
    for seed in range(4):
        random = np.random.default_rng(seed)
        sizes = np.repeat(10 ** random.uniform(-2.5, -0.5, 10), 1600)
        signal = sizes * random.standard_normal(16000)
        assert decibels(mix.active_power(signal)) == pytest.approx(p56(signal), abs=0.02)


def test_the_active_level_scales_with_the_signal():
    signal = speech_like(np.random.default_rng(0), 40000).astype(float)
    level = mix.active_power(signal)
    assert mix.active_power(signal * 0.3) == pytest.approx(level * 0.09, rel=1e-3)


def test_the_hangover_follows_the_speech():
    for position, low, high in ((8000, 0.2, 0.5), (15200, 0.0, 0.05)):
        click = np.zeros(16000)
        click[position] = 1.0
        # The active level is the energy of one sample divided by the number of active ones.
        assert low < 1 / mix.active_power(click) / 16000 <= high


@pytest.mark.parametrize("snr", [-8.0, 0.0, 2.5, 17.5])
def test_the_ratio_is_the_requested_one(snr):
    random = np.random.default_rng(0)
    speech = speech_like(random, 30000) // 4
    noise = (3000 * random.standard_normal(30000)).astype(np.int16)
    level = mix.active_power(speech)
    clean, noisy, gain = mix.mix(speech, noise, snr, level)
    assert gain == 1
    np.testing.assert_array_equal(clean, speech)
    added = noisy.astype(float) - clean
    assert decibels(level / mean_power(added)) == pytest.approx(snr, abs=0.02)


def test_a_mixture_beyond_full_scale_scales_both_sides():
    random = np.random.default_rng(0)
    speech = (20000 * np.sin(np.arange(20000) / 9)).astype(np.int16)
    noise = (9000 * random.standard_normal(20000)).clip(-32768, 32767).astype(np.int16)
    level = mix.active_power(speech)
    clean, noisy, gain = mix.mix(speech, noise, 0.0, level)
    assert 0.1 < gain < 1
    assert np.abs(noisy.astype(int)).max() == 32767
    np.testing.assert_array_equal(clean, scaled(speech, gain))
    added = (noisy.astype(float) - clean) / gain
    assert decibels(level / mean_power(added)) == pytest.approx(0.0, abs=0.02)


def test_several_noises_have_one_level_and_together_the_requested_ratio():
    random = np.random.default_rng(5)
    speech = speech_like(random, 30000) // 4
    noises = [(size * random.standard_normal(30000)).astype("i2") for size in (3000, 50, 900)]
    noises[1] += 4000
    total = mix.sum_at_one_level(noises)
    shares = [np.corrcoef(total, noise)[0, 1] ** 2 for noise in noises]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    level = mix.active_power(speech)
    clean, noisy, gain = mix.mix(speech, total, -5.0, level)
    added = (noisy.astype(float) - clean) / gain
    assert decibels(level / mean_power(added)) == pytest.approx(-5.0, abs=0.02)


def test_a_mixture_has_up_to_the_most_noises_and_repeats():
    corpus = mix_corpus([16000] * 40, [40000] * 4)
    several = dataclasses.replace(corpus, noises=3)
    one, drawn = corpus.draw(0, 1, 40), several.draw(0, 1, 40)
    np.testing.assert_array_equal(one.index, drawn.index)
    counts = {1: 0, 2: 0, 3: 0}
    for index, gain, clean, noisy in zip(
        drawn.index, drawn.gain, drawn.clean, drawn.noisy, strict=True
    ):
        added = (noisy.astype(float) - clean) / gain
        level = mix.active_power(corpus.speech[index])
        assert min(abs(decibels(level / mean_power(added)) - snr) for snr in corpus.snrs) < 0.05
        # Segments of independent noise: each clip in the mixture has a peak of the correlation.
        peaks = 0
        for clip in range(4):
            found = np.abs(fftconvolve(corpus.noise[clip].astype(float), added[::-1]))
            peaks += int(np.sum(found > 12 * np.median(found)))
        counts[min(peaks, 3)] += 1
    assert min(counts.values()) >= 5
    again = several.draw(0, 1, 40)
    for wave, other in zip(drawn.noisy, again.noisy, strict=True):
        np.testing.assert_array_equal(wave, other)


def test_short_clips_are_repeated_from_any_offset():
    clip = np.arange(5, dtype=np.int16)
    assert mix.segment(clip, 12, 3).tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert mix.segment(clip, 3, 2).tolist() == [2, 3, 4]
    assert mix.segment(clip, 5, 0).tolist() == [0, 1, 2, 3, 4]


def test_a_silent_segment_is_replaced_by_one_with_noise():
    clip = np.zeros(100000, np.int16)
    clip[90000:90100] = 5000
    random = np.random.default_rng(0)
    for _ in range(20):
        assert mix.random_segment(clip, 8000, random).any()
    assert len(mix.random_segment(clip, 8000, random)) == 8000


def test_a_draw_depends_only_on_its_arguments():
    corpus = mix_corpus([8000, 9000, 10000, 11000, 12000], [5000, 40000])
    first = corpus.draw(1, 2, 5)
    corpus.draw(1, 3, 4)
    again = mix_corpus([8000, 9000, 10000, 11000, 12000], [5000, 40000]).draw(1, 2, 5)
    for one, two in zip(first.noisy, again.noisy, strict=True):
        np.testing.assert_array_equal(one, two)
    assert sorted(first.index) == list(range(5))
    other = corpus.draw(1, 3, 5)
    mixed = dict(zip(first.index, first.noisy, strict=True))
    for index, wave in zip(other.index, other.noisy, strict=True):
        assert not np.array_equal(wave, mixed[index])


def test_an_utterance_is_mixed_differently_every_time():
    corpus = mix_corpus([8000], [40000])
    noisy = [corpus.draw(1, number, 1).noisy[0] for number in range(4)]
    noisy += list(corpus.draw(1, 0, 4).noisy[1:])
    assert len({wave.tobytes() for wave in noisy}) == 7


def test_a_longer_draw_starts_like_a_shorter_one():
    corpus = mix_corpus([8000] * 6, [20000])
    short, long = corpus.draw(0, 1, 3), corpus.draw(0, 1, 9)
    np.testing.assert_array_equal(short.index, long.index[:3])
    np.testing.assert_array_equal(short.noisy[2], long.noisy[2])
    assert sorted(long.index[:6]) == list(range(6))


def test_clean_sides_follow_from_index_and_gain():
    corpus = mix_corpus([8000] * 8, [20000, 30000])
    loud = mix.MixCorpus(
        corpus.names, corpus.speech, corpus.noise, (-25.0, 0.0), corpus.bucket_lengths
    )
    drawn = loud.draw(0, 1, 8)
    assert (drawn.gain < 1).any()
    assert (drawn.gain == 1).any()
    for index, gain, clean in zip(drawn.index, drawn.gain, drawn.clean, strict=True):
        np.testing.assert_array_equal(loud.clean(int(index), float(gain)), clean)


def test_every_ratio_and_clip_is_drawn():
    corpus = mix_corpus([8000] * 60, [8000, 8000])
    drawn = corpus.draw(0, 1, 60)
    found = set()
    for index, clean, noisy in zip(drawn.index, drawn.clean, drawn.noisy, strict=True):
        level = mix.active_power(corpus.speech[index])
        found.add(round(decibels(level / mean_power(noisy.astype(float) - clean))))
    assert found == {0, 5, 10, 15}


def test_fixed_mixtures_use_all_ratios_equally_often():
    corpus = dataclasses.replace(mix_corpus([8000] * 10, [20000, 9000]), kinds=("hum", "rain"))
    fixed = corpus.fixed(0, 8)
    counts = {}
    for number in range(len(fixed)):
        level = mix.active_power(fixed.clean(number))
        snr = round(
            decibels(level / mean_power(fixed.noisy(number).astype(float) - fixed.clean(number)))
        )
        counts[snr] = counts.get(snr, 0) + 1
        assert fixed.conditions["snr"][number] == str(snr)
        added = fixed.noisy(number).astype(float) - fixed.clean(number)
        clip = corpus.noise[["hum", "rain"].index(fixed.conditions["noise"][number])]
        # The added noise is a segment of the clip that the condition names.
        found = np.correlate(np.concatenate([clip, clip]), added[:4000], "valid").max()
        assert found > 0.9 * np.sqrt(np.square(added[:4000]).sum() * 4000) * 2000
    assert counts == {0: 2, 5: 2, 10: 2, 15: 2}
    again, other = corpus.fixed(0, 8), corpus.fixed(1, 8)
    np.testing.assert_array_equal(fixed.noisy_waves.samples, again.noisy_waves.samples)
    assert not np.array_equal(fixed.noisy_waves.samples, other.noisy_waves.samples)
    assert fixed.names[0] == "s0"
    assert fixed.names[-1] == "s9"


def fill(folder, count, seconds=0.5, group=""):
    random = np.random.default_rng(len(str(folder)))
    for number in range(count):
        save(folder / f"{group}{number}.wav", random.uniform(-0.3, 0.3, round(16000 * seconds)))


def test_train_and_valid_folders_are_used_where_they_exist(tmp_path):
    fill(tmp_path / "speech" / "train" / "ann", 3)
    fill(tmp_path / "speech" / "valid" / "bob", 2)
    fill(tmp_path / "noise" / "train", 2)
    fill(tmp_path / "noise" / "valid", 1)
    data = config(speech=str(tmp_path / "speech"), noise=str(tmp_path / "noise")).data
    train, valid, problems = mix.open_mix(data)
    assert train.names == ("ann/0", "ann/1", "ann/2")
    assert valid.names == ("bob/0", "bob/1")
    assert len(train.noise) == 2
    assert problems == ()


def test_without_them_speakers_and_clips_are_held_out(tmp_path):
    for speaker in range(10):
        fill(tmp_path / "speech" / f"speaker{speaker}", 2)
    fill(tmp_path / "noise", 10)
    data = config(speech=str(tmp_path / "speech"), noise=str(tmp_path / "noise")).data
    train, valid, _ = mix.open_mix(data)
    assert len(train) == 18
    assert len(valid) == 2
    speakers = [{name.split("/")[0] for name in corpus.names} for corpus in (train, valid)]
    assert not speakers[0] & speakers[1]
    assert len(train.noise) == 9


def test_bad_noise_and_speech_are_reported_once(tmp_path):
    fill(tmp_path / "speech", 4)
    fill(tmp_path / "noise", 4)
    save(tmp_path / "speech" / "quiet.wav", np.zeros(16000))
    save(tmp_path / "noise" / "tick.wav", tone(0.2))
    save(tmp_path / "noise" / "quiet.wav", np.zeros(16000))
    data = config(speech=str(tmp_path / "speech"), noise=str(tmp_path / "noise")).data
    _, _, problems = mix.open_mix(data)
    assert [problem.path.split("/")[-2:] for problem in problems] == [
        ["speech", "quiet.wav"],
        ["noise", "quiet.wav"],
        ["noise", "tick.wav"],
    ]


def test_user_errors_name_the_key(tmp_path):
    fill(tmp_path / "speech", 4)
    fill(tmp_path / "noise", 4)
    speech, noise = str(tmp_path / "speech"), str(tmp_path / "noise")
    for key, settings in {
        "config.data.speech is not set": {"noise": noise},
        "config.data.noise=/nowhere": {"speech": speech, "noise": "/nowhere"},
        "config.data.snrs is empty": {"speech": speech, "noise": noise, "snrs": ()},
    }.items():
        with pytest.raises(UserError, match=key):
            mix.open_mix(config(**settings).data)


@pytest.mark.parametrize(("speech_offset", "noise_offset"), [(0, 3277), (1638, 0), (1638, -9000)])
def test_an_offset_counts_for_no_power(speech_offset, noise_offset):
    random = np.random.default_rng(3)
    speech, noise = speech_like(random, 32000), (800 * random.standard_normal(32000)).astype("i2")
    speech, noise = speech // 4 + np.int16(speech_offset), noise + np.int16(noise_offset)
    clean, noisy, _ = mix.mix(speech, noise, 5.0, mix.active_power(speech))
    added = noisy.astype(float) - clean
    without = speech - speech.mean()
    level = mix.active_power(without) * (clean.std() / speech.std()) ** 2
    assert 10 * np.log10(level / np.mean(added**2)) == pytest.approx(5.0, abs=0.02)
    assert abs(added.mean()) < 0.5


def test_a_constant_offset_is_silent():
    reason = mix.reason_noise_unusable(np.full(16000, 3000, np.int16))
    assert reason == "silent: every sample is the same"
