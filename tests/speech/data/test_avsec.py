"""Scenes of AVSEC: their files, their videos, their problems."""

import re
import sys

import numpy as np
import pytest
from corpora import config, save, tone
from ml_collections import ConfigDict
from video_clips import film

from jaxgan.core.errors import UserError
from jaxgan.speech.data import avsec
from jaxgan.speech.data.corpora import open_corpora

BOX = (0.25, 0.0, 1.0, 1.0)


def faces(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32), np.uint8)


def add(folder, scene, seconds=1.0, frames=25, rate=25, mixture="mono_mix", target="target"):
    """Writes the files of one scene; the face differs between scenes."""
    number = int(scene[1:])
    save(folder / f"{scene}_{mixture}.wav", tone(seconds, hertz=100 + 10 * number))
    save(folder / f"{scene}_{target}.wav", tone(seconds, hertz=100 + 10 * number, size=0.1))
    if frames:
        film(folder / f"{scene}_silent.mp4", faces(frames, number), rate)


@pytest.fixture
def root(tmp_path):
    for part, count, first in (("train", 5, 1), ("dev", 2, 6)):
        for number in range(first, first + count):
            add(tmp_path / part / "scenes", f"S{number:05d}")
    return tmp_path


def settings(root, box=BOX, **data):
    chosen = config(kind="avsec", root=str(root), **data)
    chosen.video = ConfigDict({"height": 24, "width": 32, "box": box})
    return chosen


def opened(root, **data):
    return open_corpora(settings(root, **data), lambda report: None)


def test_scenes_with_their_videos(root):
    corpora = opened(root)
    assert corpora.train.names == ("S00001", "S00002", "S00003", "S00004", "S00005")
    assert corpora.valid.names == ("S00006", "S00007")
    assert corpora.report.problems == ()
    videos = corpora.train.videos
    for index in range(5):
        # The box leaves 24 of 32 rows, which is the size of the result.
        np.testing.assert_array_equal(videos.target(index), faces(25, index + 1)[:, 8:])
        following = videos.target((index + 1) % 5)
        np.testing.assert_array_equal(videos.other(index), following)
    assert not videos.other_is_heard
    np.testing.assert_allclose(
        corpora.train.noisy(1) / 32768, tone(1.0, hertz=120), atol=1.01 / 32768
    )
    assert np.abs(corpora.train.clean(1)).max() == pytest.approx(0.1 * 32768, abs=2)


def test_a_single_scene_has_no_other_talker(root):
    (root / "dev" / "scenes" / "S00007_mono_mix.wav").unlink()
    (root / "dev" / "scenes" / "S00007_target.wav").unlink()
    videos = opened(root).valid.videos
    assert videos.counts.tolist() == [25]
    assert len(videos.other(0)) == 0


def test_files_of_the_monaural_track_come_first(tmp_path):
    folder = tmp_path
    for kind in ("mix", "mixed", "target", "interferer", "target_mono", "interferer_mono"):
        save(folder / f"S00001_{kind}.wav", tone(1.0))
    scenes, files, problems = avsec.find(folder)
    assert (scenes, problems) == (["S00001"], [])
    assert files == [("S00001_target.wav", "S00001_mix.wav")]
    for kind in ("mono_mix", "target_anechoic"):
        save(folder / f"S00001_{kind}.wav", tone(1.0))
    assert avsec.find(folder)[1] == [("S00001_target_anechoic.wav", "S00001_mono_mix.wav")]
    save(folder / "S00001_target_mono_anechoic.wav", tone(1.0))
    assert avsec.find(folder)[1][0][0] == "S00001_target_mono_anechoic.wav"


def test_two_ears_are_averaged(tmp_path):
    ears = np.stack([tone(1.0, hertz=200), tone(1.0, hertz=300)], 1)
    save(tmp_path / "S00001_mix.wav", ears)
    save(tmp_path / "S00001_target_anechoic.wav", ears[:, ::-1] / 2)
    corpus, problems = avsec.read_scenes(tmp_path, None)
    assert problems == ()
    np.testing.assert_allclose(corpus.noisy(0) / 32768, ears.mean(1), atol=1.6 / 32768)
    np.testing.assert_allclose(corpus.clean(0) / 32768, ears.mean(1) / 2, atol=1.6 / 32768)


def test_what_cannot_be_used_is_one_line_and_the_rest_is_used(root):
    folder = root / "train" / "scenes"
    for number, (frames, rate) in enumerate([(0, 25), (10, 25), (40, 25), (30, 30), (25, 25)], 10):
        add(folder, f"S000{number}", frames=frames, rate=rate)
    (folder / "S00014_silent.mp4").write_text("no video")
    add(folder, "S00015")
    (folder / "S00015_target.wav").unlink()
    add(folder, "S00016")
    (folder / "S00016_mono_mix.wav").write_text("no audio")
    add(folder, "S00017", seconds=0.1, frames=3)
    printed = []
    corpora = open_corpora(settings(root), printed.append)
    expected = {
        "S00010_silent.mp4": "there is no such file; its scene is skipped",
        "S00011_silent.mp4": "ends 0.60 s before the audio; the rest of the audio has no video",
        "S00012_silent.mp4": "lasts longer than the audio; cut to its length",
        "S00013_silent.mp4": "has 30 frames a second; resampled to 25",
        "S00014_silent.mp4": "cannot be decoded (Invalid data found when processing input); "
        "its scene is skipped",
        "S00015_mono_mix.wav": "its scene has no S00015_target_mono_anechoic.wav or "
        "S00015_target_anechoic.wav or S00015_target.wav; skipped",
        "S00016_mono_mix.wav": "cannot be decoded (Format not recognised); "
        "skipped with its counterpart",
        "S00017_mono_mix.wav": "0.100 s is too short for PESQ, which needs 0.25 s; "
        "skipped with its counterpart",
    }
    left_out = corpora.report.files()["left_out.txt"].decode().splitlines()
    for name, text in expected.items():
        assert f"{folder / name}: {text}" in left_out, name
    assert len(left_out) == len(expected) + 1  # both sides of S00017 are too short
    assert len(printed) == 1
    assert "9 files cannot be used as found" in printed[0]
    used = dict(zip(corpora.train.names, corpora.train.videos.counts.tolist(), strict=True))
    assert {name: used[name] for name in used if name > "S00009"} == {
        "S00011": 10,
        "S00012": 25,
        "S00013": 25,
    }
    with pytest.raises(UserError, match=r"config.data.strict=True refuses 9 files"):
        opened(root, strict=True)


def test_a_network_without_video_needs_neither_videos_nor_their_package(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for file in root.rglob("*.mp4"):
        file.unlink()
    corpora = open_corpora(config(kind="avsec", root=str(root)), lambda report: None)
    assert len(corpora.train) == 5
    assert corpora.train.videos is None
    with pytest.raises(UserError, match=r"pip install 'jaxgan\[video\]'"):
        opened(root)


def test_other_videos_are_other_data(root):
    before = opened(root).digests()
    assert opened(root).digests() == before
    film(root / "train" / "scenes" / "S00002_silent.mp4", faces(20))
    assert opened(root).digests() != before


@pytest.mark.parametrize("box", [(0, 0, 1), (0.5, 0, 0.5, 1), (0, 0, 1, 1.5), (-0.1, 0, 1, 1)])
def test_a_box_is_a_part_of_the_frame(root, box):
    with pytest.raises(UserError, match=re.escape(f"config.video.box={box}: give top, left")):
        open_corpora(settings(root, box), lambda report: None)


def test_folders_without_scenes(root):
    for file in (root / "dev" / "scenes").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="needs train/scenes and dev/scenes, with a mixture"):
        opened(root)
    save(root / "dev" / "S00009_mono_mix.wav", tone(1.0))
    with pytest.raises(UserError, match="none of its 1 audio files can be used") as caught:
        opened(root)
    assert "S00009_mono_mix.wav: its scene has no" in str(caught.value)
    with pytest.raises(UserError, match=r"config.data.root=/no: there is no such folder"):
        opened("/no")
