import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
from corpora import config

from jaxgan.core.errors import UserError
from jaxgan.speech.data import audio, demo, espeak, pairs
from jaxgan.speech.data.mix import active_power
from jaxgan.speech.data.sentences import SENTENCES


@pytest.fixture(scope="module")
def made():
    return {name: demo.make(name, 32, 0) for name in demo.SPLITS}


def test_the_sets_share_no_voices_and_no_sentences():
    voices = [voice for split in demo.SPLITS.values() for voice in split.voices]
    assert len(voices) == len(set(voices))
    texts = [text for split in demo.SPLITS.values() for _, text in demo.sentences(split)]
    assert len(texts) == len(set(texts)) == sum(len(lines) for lines in SENTENCES.values())
    for split in demo.SPLITS.values():
        assert {language for language, _ in demo.sentences(split)} == set(SENTENCES)


def test_lines_come_from_their_own_set():
    for name, split in demo.SPLITS.items():
        script = demo.lines(split, 60, 0)
        assert {line.variant for line in script} == set(split.voices), name
        assert {(line.language, line.text) for line in script} <= set(demo.sentences(split))


def test_samples_depend_on_the_arguments(made):
    again = demo.make("valid", 32, 0)
    assert again.names == made["valid"].names
    np.testing.assert_array_equal(again.clean_waves.samples, made["valid"].clean_waves.samples)
    np.testing.assert_array_equal(again.noisy_waves.samples, made["valid"].noisy_waves.samples)
    other = demo.make("valid", 32, 1)
    assert not np.array_equal(other.lengths, again.lengths)


def test_utterances_are_speech_of_a_few_seconds_at_a_natural_level(made):
    for corpus in made.values():
        seconds = corpus.lengths / 16000
        assert seconds.min() > 1.2
        assert seconds.max() < 6
        for number in range(len(corpus)):
            level = 10 * np.log10(active_power(corpus.clean(number)) / 32768**2)
            assert -32.3 < level < -21.7
            assert np.abs(corpus.noisy(number).astype(int)).max() <= 32767


def test_every_noise_is_mixed_at_every_ratio(made):
    for name, corpus in made.items():
        found = set()
        for number, label in enumerate(corpus.names):
            clean = corpus.clean(number).astype(float)
            added = corpus.noisy(number) - clean
            snr = 10 * np.log10(active_power(clean) / np.mean(np.square(added)))
            nearest = min(demo.SPLITS[name].snrs, key=lambda wanted: abs(wanted - snr))
            # The level is that of the speech without the faint room noise.
            assert snr == pytest.approx(nearest, abs=0.3)
            found.add((label.split("_")[-1], nearest))
        assert found == {(kind, snr) for kind in demo.NOISE_KINDS for snr in demo.SPLITS[name].snrs}


def test_a_set_is_generated_once(monkeypatch, own_cache):
    first = demo.open_set("test", 2, 0)
    monkeypatch.setattr(demo, "make", None)
    second = demo.open_set("test", 2, 0)
    assert second.names == first.names
    np.testing.assert_array_equal(first.noisy_waves.samples, second.noisy_waves.samples)


def test_a_damaged_set_is_generated_again(own_cache, caplog):
    first = demo.open_set("test", 2, 0)
    (path,) = own_cache.glob("demo/*/corpus.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    second = demo.open_set("test", 2, 0)
    np.testing.assert_array_equal(first.noisy_waves.samples, second.noisy_waves.samples)
    assert "damaged" in caplog.text


def test_sizes_are_checked():
    with pytest.raises(UserError, match=r"config.data.demo.train=0"):
        demo.open_demo(config(demo={"train": 0, "valid": 1, "test": 1}).data)


def test_a_set_can_be_written_as_files_and_read_as_pairs(tmp_path):
    demo.main([str(tmp_path), "--split", "test", "--count", "3"])
    corpus = demo.open_set("test", 3, 0)
    found, problems = pairs.read_pairs(tmp_path)
    assert problems == ()
    assert found.names == corpus.names
    assert found.conditions == corpus.conditions
    assert [name.split("_")[-1] for name in corpus.names] == list(corpus.conditions["noise"])
    assert demo.open_set("test", 3, 0).conditions == corpus.conditions  # also from the cache
    np.testing.assert_array_equal(found.noisy(2), corpus.noisy(2))
    assert audio.read(tmp_path / "clean" / f"{found.names[0]}.wav")[1] == 16000


def test_a_synthesiser_that_fails_is_a_user_error_in_one_line(monkeypatch):
    line = espeak.Line("Hello", "en", "m1", 170, 50, 50)
    with pytest.raises(UserError, match=r"no voice xx\+m1") as caught:
        espeak.synthesise([espeak.Line("Hello", "xx", "m1", 170, 50, 50)])
    assert "\n" not in str(caught.value)

    def crash(command, **options):
        return subprocess.CompletedProcess(command, -11, "", "")

    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(UserError, match=r"does not run here \(status -11\)"):
        espeak.synthesise([line])


def test_a_missing_synthesiser_is_a_user_error(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match="needs the package espeakng-loader, which is not inst"):
        demo.open_set("train", 1, 0)


def test_the_synthesiser_runs_without_jax():
    code = "import sys, jaxgan.speech.data.espeak; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
