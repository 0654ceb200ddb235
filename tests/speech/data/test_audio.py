import os
import tracemalloc

import numpy as np
import pytest
from corpora import save, tone

from jaxgan.speech.data import audio


def test_16_bit_files_at_16_khz_are_read_exactly(tmp_path):
    samples = np.array([-32768, -1, 0, 1, 32767] * 100, np.int16)
    for suffix in ("wav", "flac"):
        read, rate = audio.read(save(tmp_path / f"a.{suffix}", samples))
        assert rate == 16000
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, samples)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_any_rate_becomes_the_same_tone_at_16_khz(tmp_path, rate, suffix):
    read, own_rate = audio.read(save(tmp_path / f"a.{suffix}", tone(1.0, rate), rate))
    assert own_rate == rate
    assert abs(len(read) - 16000) <= 1
    inner = slice(2000, 14000)  # resamplers and codecs are inexact at the ends
    error = audio.to_float(read)[inner] - tone(1.0)[inner]
    assert np.abs(error).max() < (0.02 if suffix == "ogg" else 2e-4)


def test_frequencies_above_8_khz_do_not_alias(tmp_path):
    read, _ = audio.read(save(tmp_path / "a.wav", tone(1.0, 48000, hertz=11000), 48000))
    assert np.abs(read[1000:-1000]).max() <= 4


def test_channels_are_averaged(tmp_path):
    left, right = tone(0.5, hertz=300), tone(0.5, hertz=1000)
    read, _ = audio.read(save(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT"))
    np.testing.assert_array_equal(read, audio.to_int16((left + right) / 2))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_sample_format_has_the_same_full_scale(tmp_path, subtype):
    read, _ = audio.read(save(tmp_path / "a.wav", tone(0.5), subtype=subtype))
    coarse = {"PCM_U8": 1 / 128, "ULAW": 0.02}.get(subtype, 1 / 32768)
    np.testing.assert_allclose(audio.to_float(read), tone(0.5), atol=coarse)


def test_samples_beyond_full_scale_are_clipped():
    beyond = audio.to_int16(np.array([-1.5, -1.0, 1.0, 2.0]))
    np.testing.assert_array_equal(beyond, [-32768, -32768, 32767, 32767])


def test_a_corrupt_file_is_rejected(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + os.urandom(500))
    with pytest.raises(audio.BadAudioError, match="cannot be decoded"):
        audio.read(path)
    path.write_bytes(b"")
    with pytest.raises(audio.BadAudioError, match="cannot be decoded"):
        audio.read(path)
    with pytest.raises(audio.BadAudioError, match="cannot be decoded"):
        audio.read(tmp_path / "missing.wav")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64"])
def test_a_truncated_file_is_rejected(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", tone(1.0))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(audio.BadAudioError, match=r"^truncated: its header states \d+ bytes"):
        audio.read(path)


@pytest.mark.parametrize("size", [2**32 - 1, 2**31 - 1 - 36])
def test_a_file_written_to_a_pipe_has_no_size_and_is_read_to_its_end(tmp_path, size):
    path = save(tmp_path / "a.wav", tone(0.5))
    content = bytearray(path.read_bytes())
    content[40:44] = content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(audio.read(path)[0]) == 8000


def test_a_file_that_is_too_long_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path / "a.flac", np.zeros(16000 * 600, np.int16))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(
        audio.BadAudioError, match=r"^600\.0 s is longer than config\.data\.longest"
    ):
        audio.read(path, 20.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert len(audio.read(path, 600.0)[0]) == 16000 * 600


def test_a_damaged_flac_is_rejected(tmp_path):
    path = save(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 40000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(audio.BadAudioError, match="cannot be decoded"):
        audio.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_rejected(tmp_path, value):
    samples = tone(0.5).astype(np.float32)
    samples[77] = value
    with pytest.raises(audio.BadAudioError, match="NaN or infinite"):
        audio.read(save(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_float_files_in_int16_units_are_rejected(tmp_path):
    path = save(tmp_path / "a.wav", tone(0.5) * 32768, subtype="FLOAT")
    with pytest.raises(audio.BadAudioError, match="where full scale is"):
        audio.read(path)


def test_an_empty_file_is_rejected(tmp_path):
    with pytest.raises(audio.BadAudioError, match="empty"):
        audio.read(save(tmp_path / "a.wav", np.zeros(0)))


def test_find_follows_folders_and_links_and_ignores_other_files(tmp_path):
    for name in ("b/c/2.WAV", "b/1.flac", "a.ogg", ".hidden.wav", "notes.txt", "b/list.csv"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.wav").touch()
    (tmp_path / "corpus" / "linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(tmp_path / "corpus")
    assert audio.find(tmp_path / "corpus") == ["a.ogg", "b/1.flac", "b/c/2.WAV", "linked/x.wav"]


def test_written_samples_are_read_back(tmp_path):
    samples = audio.to_int16(tone(0.3))
    audio.write(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], samples)
