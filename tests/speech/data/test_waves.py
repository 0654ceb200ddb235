import json
import os

import numpy as np
import pytest
from corpora import save, tone

from jaxgan.core import cache
from jaxgan.speech.data import waves


def entries(own_cache):
    folder = own_cache / "audio"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_join_and_select_return_the_waves():
    parts = [np.arange(n, dtype=np.int16) + 100 * n for n in (5, 0, 3)]
    joined = waves.join(parts)
    assert len(joined) == 3
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(joined[number], part)
    chosen = joined.select([2, 0])
    np.testing.assert_array_equal(chosen[0], parts[2])
    np.testing.assert_array_equal(chosen[1], parts[0])
    np.testing.assert_array_equal(chosen.truncate(np.array([1, 4]))[1], parts[0][:4])


def test_flat_samples_must_match_their_lengths():
    with pytest.raises(ValueError, match="do not match"):
        waves.from_flat(np.zeros(7, np.int16), np.array([3, 3], np.int32))
    with pytest.raises(ValueError, match="do not match"):
        waves.from_flat(np.zeros(6, np.float32), np.array([3, 3], np.int32))


def test_decode_keeps_the_order_and_gives_reasons(tmp_path):
    good = save(tmp_path / "good.wav", tone(0.5))
    (tmp_path / "bad.wav").write_text("no audio")
    fast = save(tmp_path / "fast.wav", tone(0.5, 48000), 48000)
    decoded = waves.decode([str(good), str(tmp_path / "bad.wav"), str(fast)])
    assert decoded.waves.lengths.tolist() == [8000, 0, 8000]
    assert [bool(reason) for reason in decoded.reasons] == [False, True, False]
    assert decoded.resampled == 1


def test_reading_many_files_shows_a_progress_bar(tmp_path, monkeypatch):
    names = [str(save(tmp_path / f"{number}.wav", tone(0.1 * number))) for number in range(1, 6)]
    expected = waves.decode(names)
    monkeypatch.setattr(waves, "PROGRESS_BAR_MINIMUM", 2)
    np.testing.assert_array_equal(waves.decode(names).waves.lengths, expected.waves.lengths)


def test_16_khz_files_need_no_cache(tmp_path, own_cache):
    save(tmp_path / "a.wav", tone(0.5))
    waves.load(tmp_path, ["a.wav"])
    assert entries(own_cache) == []


def test_resampled_files_are_decoded_once(tmp_path, own_cache, monkeypatch):
    save(tmp_path / "a.wav", tone(0.5, 48000), 48000)
    (tmp_path / "b.wav").write_text("no audio")
    first = waves.load(tmp_path, ["a.wav", "b.wav"])
    assert len(entries(own_cache)) == 1
    monkeypatch.setattr(waves, "decode", None)
    second = waves.load(tmp_path, ["a.wav", "b.wav"])
    np.testing.assert_array_equal(first.waves.samples, second.waves.samples)
    assert second.reasons == first.reasons
    assert second.resampled == 1


def test_a_changed_file_replaces_the_cache_entry(tmp_path, own_cache):
    path = save(tmp_path / "a.wav", tone(0.5, 48000), 48000)
    waves.load(tmp_path, ["a.wav"])
    before = entries(own_cache)
    save(path, tone(0.7, 48000), 48000)
    assert waves.load(tmp_path, ["a.wav"]).waves.lengths.tolist() == [11200]
    after = entries(own_cache)
    assert len(after) == 1
    assert after != before
    os.utime(path, ns=(1, 1))
    waves.load(tmp_path, ["a.wav"])
    assert entries(own_cache) != after


@pytest.mark.parametrize("damage", ["cut", "json", "missing", "other"])
def test_a_damaged_cache_entry_is_replaced(tmp_path, own_cache, damage, caplog):
    save(tmp_path / "a.wav", tone(0.5, 48000), 48000)
    first = waves.load(tmp_path, ["a.wav"])
    expected = np.array(first.waves.samples)
    (entry,) = entries(own_cache)
    if damage == "cut":
        content = (entry / "samples.npy").read_bytes()
        (entry / "samples.npy").write_bytes(content[:-1000])
    elif damage == "json":
        (entry / "index.json").write_text("{")
    elif damage == "missing":
        (entry / "samples.npy").unlink()
    else:
        index = json.loads((entry / "index.json").read_text())
        (entry / "index.json").write_text(json.dumps({**index, "lengths": [7]}))
    again = waves.load(tmp_path, ["a.wav"])
    np.testing.assert_array_equal(again.waves.samples, expected)
    assert "damaged" in caplog.text
    assert len(entries(own_cache)) == 1


def test_a_full_disk_only_causes_a_warning(tmp_path, own_cache, monkeypatch, caplog):
    save(tmp_path / "a.wav", tone(0.5, 48000), 48000)

    def full(folder, decoded):
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(waves, "_save", full)
    assert waves.load(tmp_path, ["a.wav"]).waves.lengths.tolist() == [8000]
    assert "No space left" in caplog.text
    assert entries(own_cache) == []


def test_a_cache_folder_that_cannot_be_written_only_causes_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "file"))
    save(tmp_path / "a.wav", tone(0.5, 48000), 48000)
    assert waves.load(tmp_path, ["a.wav"]).waves.lengths.tolist() == [8000]
    assert "without a cache" in caplog.text


def test_an_interrupted_entry_never_appears(own_cache):
    def interrupted(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put(own_cache / "kind" / "entry", interrupted)
    assert list((own_cache / "kind").iterdir()) == []


def test_the_first_of_two_writers_wins(own_cache):
    entry = own_cache / "kind" / "entry"

    def slow(folder):
        (folder / "who").write_text("second")
        assert cache.put(entry, lambda other: (other / "who").write_text("first"))

    assert cache.put(entry, slow)
    assert (entry / "who").read_text() == "first"
    assert list(entry.parent.iterdir()) == [entry]


def test_files_of_a_killed_process_are_removed_after_a_day(own_cache):
    old, young = own_cache / "kind" / ".one.x", own_cache / "kind" / ".two.y"
    for left in (old, young):
        left.mkdir(parents=True)
    os.utime(old, (1, 1))
    assert cache.put(own_cache / "kind" / "entry", lambda folder: None)
    assert not old.exists()
    assert young.exists()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "jaxgan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "jaxgan"


def test_a_broken_link_is_one_bad_file(tmp_path):
    save(tmp_path / "a.wav", tone(0.5))
    (tmp_path / "b.wav").symlink_to(tmp_path / "gone.wav")
    decoded = waves.load(tmp_path, ["a.wav", "b.wav"])
    assert decoded.reasons[0] == ""
    assert "cannot be decoded" in decoded.reasons[1]
