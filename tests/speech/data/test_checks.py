import numpy as np
import pytest

from jaxgan.core.data_files import Problem
from jaxgan.speech.data import checks
from jaxgan.speech.data.checks import DataReport


def noise(n):
    return np.random.default_rng(0).integers(-5000, 5000, n, np.int16)


def test_the_number_of_frames_is_that_of_the_front_end():
    assert [checks.frame_count(n) for n in (0, 1, 256, 257, 6912, 6913)] == [1, 2, 2, 3, 28, 29]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (noise(3999), "too short for PESQ"),
        (noise(4000), "too short for the discriminator: 17 frames"),
        (noise(6912), "28 frames"),
        (noise(6913), ""),
        (noise(32000), ""),
        (noise(32001), "longer than config.data.longest_seconds=2"),
        (np.zeros(16000, np.int16), "silent: every sample is 0"),
        (np.tile(np.array([31, -31], np.int16), 8000), "silent: its peak is -60 dB"),
        (np.tile(np.array([32, -32], np.int16), 8000), ""),
        (np.tile(np.array([-32768, 32767], np.int16), 8000), ""),
        (np.full(16000, -32768, np.int16), "silent: every sample is the same"),
    ],
)
def test_reasons_at_their_limits(samples, expected):
    reason = checks.reason_unusable(samples, 2.0)
    assert expected in reason
    assert bool(reason) == bool(expected)


def test_the_report_names_every_file_and_the_action():
    problems = (Problem("a.wav", "empty"), Problem("b.wav", "silent", "both trimmed"))
    text = str(DataReport(("train: 3 utterances",), problems))
    assert text.splitlines() == [
        "train: 3 utterances",
        "2 files cannot be used as found:",
        "  a.wav: empty; skipped",
        "  b.wav: silent; both trimmed",
    ]
    assert DataReport((), problems).files() == {
        "left_out.txt": b"a.wav: empty; skipped\nb.wav: silent; both trimmed\n"
    }
    nothing = DataReport(("train: 3 utterances",), ())
    assert (str(nothing), nothing.files()) == ("train: 3 utterances", {"left_out.txt": b""})


def test_a_report_without_problems_removes_the_list_of_an_earlier_one(tmp_path):
    DataReport((), (Problem("a.wav", "empty"),)).write(tmp_path)
    assert (tmp_path / "left_out.txt").read_bytes() == b"a.wav: empty; skipped\n"
    DataReport((), ()).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_counts_many_files_by_reason_with_three_examples():
    problems = [Problem(f"{n}.wav", f"{n + 0.5} s is longer than 20") for n in range(500)]
    problems += [Problem("x.wav", "has no counterpart in /data/clean")]
    problems += [Problem(f"y{n}.wav", f"has 3 samples where /a/y{n}.wav has 4") for n in range(4)]
    report = DataReport((), tuple(problems))
    assert str(report).splitlines() == [
        "505 files cannot be used as found; left_out.txt lists them:",
        "  500 files such as 0.wav, 1.wav, 2.wav: 0.5 s is longer than 20; skipped",
        "  4 files such as y0.wav, y1.wav, y2.wav: has 3 samples where /a/y0.wav has 4; skipped",
        "  x.wav: has no counterpart in /data/clean; skipped",
    ]
    assert report.files()["left_out.txt"].count(b"\n") == 505
