import pytest

from jaxgan.core import data_files
from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError


def test_find_follows_links_and_ignores_hidden_files_hidden_folders_and_other_suffixes(tmp_path):
    kept = ("b/c/2.WAV", "b/1.flac")
    ignored = (".hidden.wav", "notes.txt", ".Trash-1000/x.wav", "b/.ipynb_checkpoints/1.flac")
    for name in (*kept, *ignored):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.wav").touch()
    (tmp_path / "data" / "linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(tmp_path / "data")
    found = data_files.find(tmp_path / "data", {".wav", ".flac"})
    assert found == ["b/1.flac", "b/c/2.WAV", "linked/x.wav"]


def test_two_links_to_one_folder_are_two_folders(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "x.wav").touch()
    (tmp_path / "data").mkdir()
    for name in ("snr0", "snr5"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "all")
    assert data_files.find(tmp_path / "data", {".wav"}) == ["snr0/x.wav", "snr5/x.wav"]


def test_a_problem_shows_the_bytes_of_a_name_that_is_not_utf_8():
    assert str(Problem("caf\udce9.wav", "silent")) == "caf\\udce9.wav: silent; skipped"


def test_a_folder_that_is_not_set_or_does_not_exist_is_named(tmp_path):
    assert data_files.existing_folder("key", tmp_path) == tmp_path
    with pytest.raises(UserError, match=r"^key is not set: give the folder$"):
        data_files.existing_folder("key", "")
    with pytest.raises(UserError, match=r"^key=/nowhere: there is no such folder$"):
        data_files.existing_folder("key", "/nowhere")


def test_strict_refuses_in_one_line_that_lists_the_files():
    data_files.refuse(())
    with pytest.raises(UserError) as caught:
        data_files.refuse([Problem(f"{number}.wav", "silent") for number in range(12)])
    message = str(caught.value)
    assert "\n" not in message
    assert "12 files: 0.wav: silent; 1.wav: silent" in message
    assert "9.wav" in message
    assert "10.wav" not in message
    assert "and 2 more" in message
