from pathlib import Path

import numpy as np
import pytest
from corpora import config, save, tone

from jaxgan.core.errors import UserError
from jaxgan.speech.data import folders


def held_out(files, share=0.1, seed=0):
    held = folders.hold_out("key", Path("folder"), files, config(valid_share=share, seed=seed).data)
    return {file for file, out in zip(files, held, strict=True) if out}


def test_speakers_by_folder_stay_together():
    files = [f"speaker{speaker}/{number}.wav" for speaker in range(20) for number in range(5)]
    held = held_out(files)
    assert len(held) == 10
    assert len({file.split("/")[0] for file in held}) == 2


def test_speakers_by_prefix_stay_together():
    files = [f"p{speaker}_{number}.wav" for speaker in range(20) for number in range(5)]
    held = held_out(files)
    assert len(held) == 10
    assert len({file.split("_")[0] for file in held}) == 2


def test_the_seed_decides_which_files_are_held_out():
    files = [f"{number}.wav" for number in range(100)]
    assert held_out(files) == held_out(files)
    assert held_out(files) != held_out(files, seed=1)
    assert len(held_out(files, share=0.25)) == 25


def test_one_speaker_is_divided_by_file():
    held = held_out([f"ann/{number}.wav" for number in range(30)])
    assert len(held) == 3


def test_a_speaker_who_is_most_of_the_corpus_is_not_held_out():
    files = [f"ann/{number}.wav" for number in range(95)] + [f"bob/{n}.wav" for n in range(5)]
    assert all(file.startswith("bob") for file in held_out(files))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_neither_set_is_empty(share):
    files = ["a/1.wav", "a/2.wav", "b/1.wav"]
    assert 0 < len(held_out(files, share)) < 3
    assert len(held_out(["a.wav", "b.wav"], share)) == 1


def test_one_file_cannot_be_divided():
    with pytest.raises(UserError, match="key=folder: one usable file"):
        held_out(["a.wav"])


def test_stems_are_unique():
    assert folders.stems(["a/x.wav", "a/y.flac"]) == ["a/x", "a/y"]
    assert folders.stems(["x.wav", "x.flac", "y.wav"]) == ["x.wav", "x.flac", "y"]
    assert folders.stems(["x.1.wav"]) == ["x.1"]


def test_a_folder_is_read_and_checked(tmp_path):
    save(tmp_path / "b" / "long.flac", tone(1.0))
    save(tmp_path / "a.wav", tone(0.5))
    save(tmp_path / "c.wav", np.zeros(8000))
    (tmp_path / "d.wav").write_text("no audio")
    found = folders.read_folder(tmp_path, lambda wave: "" if wave.any() else "nothing")
    assert found.files == ("a.wav", "b/long.flac")
    assert found.waves.lengths.tolist() == [8000, 16000]
    assert [(Path(p.path).name, p.reason.split(" (")[0]) for p in found.problems] == [
        ("c.wav", "nothing"),
        ("d.wav", "cannot be decoded"),
    ]


def test_unusable_folders_are_user_errors(tmp_path):
    data = config().data
    with pytest.raises(UserError, match=r"key=.*: contains no audio files"):
        folders.split("key", str(tmp_path), lambda wave: "", data)
    save(tmp_path / "a.wav", tone(0.5))
    with pytest.raises(UserError, match=r"none of its 1 audio files .*a.wav: too loud"):
        folders.split("key", str(tmp_path), lambda wave: "too loud", data)
    save(tmp_path / "train" / "a.wav", tone(0.5))
    (tmp_path / "valid").mkdir()
    with pytest.raises(UserError, match=r"key=.*valid: contains no audio files"):
        folders.split("key", str(tmp_path), lambda wave: "", data)
    with pytest.raises(UserError, match="key=/nowhere: there is no such folder"):
        folders.split("key", "/nowhere", lambda wave: "", data)


@pytest.mark.parametrize(
    ("files", "single"),
    [
        ([f"{number}.wav" for number in range(20)], True),
        ([f"ann/{number}.wav" for number in range(20)], True),
        ([f"p{speaker}_{n}.wav" for speaker in range(20) for n in range(5)], False),
    ],
)
def test_a_warning_says_when_single_files_are_held_out(caplog, files, single):
    held_out(files)
    assert ("so single files are held out" in caplog.text) == single
    assert len(caplog.records) == single
