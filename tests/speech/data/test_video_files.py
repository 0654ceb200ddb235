"""Reading video files: the crop, the rate, damaged files, the cache."""

import os
import re
import sys

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from video_clips import film, film_h264

from jaxgan.core import cache
from jaxgan.core.errors import UserError
from jaxgan.speech.data import video_files
from jaxgan.speech.data.video_files import BadVideoError, Mouth, load, read, remarks
from jaxgan.speech.data.videos import Crop

WHOLE = Crop(16, 24, (0.0, 0.0, 1.0, 1.0))
SKIPPED = "skipped"


def pictures(count: int, height: int = 16, width: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), np.uint8)


def numbered(count: int) -> np.ndarray:
    """Frame n has the brightness n."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 16, 24))


def shown(path, most=10**6) -> list[int]:
    """The numbers of the frames that are read from a file of `numbered` ones."""
    return [int(frame[0, 0]) for frame in read(path, WHOLE, most).frames]


def test_frames_at_their_size_are_unchanged(tmp_path):
    frames = pictures(7)
    path = film(tmp_path / "a.mp4", frames)
    found = read(path, WHOLE, 100)
    assert found.rate == 25
    np.testing.assert_array_equal(found.frames, frames)
    np.testing.assert_array_equal(read(path, WHOLE, 3).frames, frames[:3])


def test_the_box_is_cut_out_and_its_pixels_are_averaged(tmp_path):
    frames = pictures(2, 42, 84)
    path = film(tmp_path / "a.mp4", frames)
    box = (9 / 42, 15 / 84, 33 / 42, 63 / 84)
    found = read(path, Crop(8, 16, box), 9).frames
    # The same as if the whole frame became a third as large.
    for frame, mouth in zip(frames, found, strict=True):
        whole = Image.fromarray(frame).resize((28, 14), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(mouth, np.asarray(whole)[3:11, 5:21])
    # A checkerboard of single pixels becomes grey.
    noise = np.zeros((1, 48, 96), np.uint8)
    noise[:, ::2, ::2] = noise[:, 1::2, 1::2] = 255
    path = film(tmp_path / "b.mp4", noise)
    assert np.abs(read(path, Crop(8, 16, (0, 0, 1, 1)), 9).frames - 127.5).max() <= 1


def test_real_mp4_files_have_the_full_range_of_grey(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (3, 48, 1))
    path = film_h264(tmp_path / "a.mp4", ramp)
    found = read(path, Crop(48, 64, (0, 0, 1, 1)), 9).frames.astype(int)
    assert np.abs(found - ramp).max() <= 4


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        # The nearest to 0, 40, 80, ... ms among multiples of 20, 33.3 and 100 ms.
        (50, [0, 2, 4, 6, 8, 10]),
        (30, [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]),
        (10, [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 8, 8, 8, 9, 9, 10]),
        (25, list(range(12))),
    ],
)
def test_other_rates_give_the_nearest_frames(tmp_path, rate, expected):
    found = shown(film(tmp_path / "a.mp4", numbered(12), rate))
    assert found[: len(expected)] == expected
    assert len(found) == round(12 / rate * 25)
    assert found[-1] >= 10


def test_frames_have_their_own_times(tmp_path):
    # The first frame comes late, and two frames are missing.
    path = film(tmp_path / "a.mp4", numbered(5), 25, times=[200, 240, 360, 400, 440])
    assert shown(path) == [0, 1, 1, 2, 2, 3, 4]
    times = [0, 40, 120_000, 120_040, 120_080]
    path = film(tmp_path / "b.mp4", numbered(5), 25, times=times)
    with pytest.raises(BadVideoError, match="120 s between two frames"):
        read(path, WHOLE, 10**9)


def without_frames(path):
    # A video track without frames; in an mp4 file, PyAV would leave out the track.
    with av.open(str(path), "w", format="avi") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "gray"
        file.start_encoding()


def sound(path):
    soundfile.write(path, np.zeros(9000), 16000, format="WAV")


def cut(path, first, share):
    film_h264(path, pictures(50, 64, 64), first)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "is not a file"),
        (os.mkfifo, "is not a file"),
        (lambda path: path.write_bytes(b""), "cannot be decoded (Invalid data found"),
        (lambda path: path.write_text("no video"), "cannot be decoded (Invalid data found"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nx.ts\n"), "cannot be decoded"),
        (sound, "has no video stream"),
        (without_frames, "has no frames"),
        (lambda path: cut(path, False, 0.5), "cannot be decoded (Invalid data found"),
        (lambda path: cut(path, True, 0.5), "cannot be decoded after"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, capfd, make, message):
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(BadVideoError, match=f"^{re.escape(message)}") as caught:
        read(path, WHOLE, 100)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_the_rest_of_a_file_holds_does_not_matter(tmp_path):
    path = tmp_path / "a.mp4"
    cut(path, True, 0.5)
    assert len(read(path, WHOLE, 5).frames) == 5


def test_a_missing_package_is_one_line_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"^videos need PyAV \(.*\): pip install 'jaxgan\[video\]'"):
        load(tmp_path, ["a.mp4"], np.array([3]), WHOLE)


@pytest.mark.parametrize(
    ("frames", "rate", "expected"),
    [
        (100, 25, ("", "")),
        (96, 25, ("", "")),
        (104, 25.04, ("", "")),
        (50, 25, ("ends 2.00 s before the audio", "the rest of the audio has no video")),
        (105, 25, ("lasts longer than the audio", "cut to its length")),
        (100, 30, ("has 30 frames a second", "resampled to 25")),
        (
            *(95, 29.97),
            (
                "has 29.97 frames a second and ends 0.20 s before the audio",
                "resampled to 25 and the rest of the audio has no video",
            ),
        ),
    ],
)
def test_remarks(frames, rate, expected):
    assert remarks(Mouth(np.zeros((frames, 1, 1), np.uint8), rate), 100) == expected


@pytest.fixture
def folder(tmp_path):
    """Files of 12, 6 and 0 frames, and one with twice the rate."""
    film(tmp_path / "a.mp4", pictures(12))
    film(tmp_path / "b.mp4", pictures(6, seed=1))
    (tmp_path / "c.mp4").write_text("no video")
    film(tmp_path / "d.mp4", pictures(24, seed=2), 50)
    return tmp_path


NAMES, LASTING = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"], np.array([10, 11, 12, 12])


def check(found):
    assert found.counts.tolist() == [10, 6, 0, 12]
    frames = np.asarray(found.frames)
    np.testing.assert_array_equal(frames[:10], pictures(12)[:10])
    np.testing.assert_array_equal(frames[10:16], pictures(6, seed=1))
    np.testing.assert_array_equal(frames[16:], pictures(24, seed=2)[::2])
    reasons = ["", "ends 0.20 s before", "cannot be decoded", "has 50 frames a second"]
    assert all(one.startswith(start) for one, start in zip(found.reasons, reasons, strict=True))
    assert found.reasons[0] == ""
    assert found.actions[2:] == (SKIPPED, "resampled to 25")


def test_files_are_read_once(folder, own_cache, monkeypatch):
    check(load(folder, NAMES, LASTING, WHOLE))
    with monkeypatch.context() as patch:
        patch.setattr(video_files, "read", None)
        check(load(folder, NAMES, LASTING, WHOLE))
    # Other settings and other files are read, and take the place of the earlier entry.
    smaller = load(folder, NAMES, LASTING, Crop(8, 8, WHOLE.box))
    assert smaller.frames.shape[1:] == (8, 8)
    film(folder / "b.mp4", pictures(11, seed=3))
    assert load(folder, NAMES, LASTING, WHOLE).counts.tolist() == [10, 11, 0, 12]
    (entry,) = (own_cache / "video").iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["frames.bin", "index.json"]
    assert (entry / "frames.bin").stat().st_size == 33 * 16 * 24


def test_a_damaged_entry_is_read_again(folder, own_cache, caplog):
    check(load(folder, NAMES, LASTING, WHOLE))
    (file,) = own_cache.glob("video/*/frames.bin")
    file.write_bytes(file.read_bytes()[:-1])
    check(load(folder, NAMES, LASTING, WHOLE))
    assert "reading the videos again" in caplog.text


def test_without_a_cache_the_frames_are_in_memory(folder, monkeypatch):
    monkeypatch.setattr(cache, "put_for_files", lambda entry, fill: False)
    found = load(folder, NAMES, LASTING, WHOLE)
    check(found)
    assert not isinstance(found.frames, np.memmap)
    assert len(load(folder, NAMES[2:3], LASTING[2:3], WHOLE).frames) == 0


def test_no_usable_file_gives_no_frames(folder):
    found = load(folder, ["c.mp4"], np.array([5]), WHOLE)
    assert found.frames.shape == (0, 16, 24)
    assert found.counts.tolist() == [0]
