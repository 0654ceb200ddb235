"""Comparing runs: the numbers, what is pointed at, and a page that needs nothing beside itself."""

import base64
import csv
import html.parser
import io
import json

import numpy as np
import pytest
import soundfile
from corpora import save
from test_evaluate import add_pair, voice
from workdirs import make_workdir

from jaxgan.core.errors import UserError
from jaxgan.reporting import report
from jaxgan.scores import get
from jaxgan.speech.data import audio
from jaxgan.speech.evaluation import compare
from jaxgan.speech.evaluation.comparison import NOISY, Comparison, contests, means, warnings

SCORES = "pesq_wb,stoi,si_sdr,lsd"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(data, output, comparison, what was told) of two runs on four utterances."""
    place = tmp_path_factory.mktemp("comparison")
    for seed in range(3):
        add_pair(place / "set", f"v<{seed}>", voice(1.2 + 0.1 * seed, seed=seed))
    add_pair(place / "set", "short", voice(0.2))
    rows = "short,0\nv<0>,0\nv<1>,7.5\nv<2>,7.5\n"
    (place / "set" / "conditions.csv").write_text(f"name,snr\n{rows}")
    runs = [
        str(make_workdir(place / "runs" / name, override))
        for name, override in (("one", "seed=0"), ("two&more", "generator.floor=0.2"))
    ]
    (place / "runs" / "one" / "metrics.jsonl").write_text('{"round": 1, "valid/stoi": 0.5}\n')
    told = []
    output = place / "out"
    found = compare.compare(
        runs, str(place / "set"), output=str(output), scores=SCORES, tell=told.append
    )
    return place / "set", output, found, told


def test_scores_are_those_of_the_files(compared):
    data, output, comparison, _ = compared
    assert list(comparison.columns) == [NOISY, "one", "two&more"]
    row = comparison.names.index("v<1>")
    clean, _ = audio.read(data / "clean" / "v<1>.wav")
    for system in ("one", "two&more"):
        made, _ = audio.read(output / "enhanced" / system / "v<1>.wav")
        for score in SCORES.split(","):
            value = comparison.columns[system][score][row]
            assert value == pytest.approx(get(score)(clean, made, 16000), abs=1e-6)
    with (output / "scores.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["short"]["one_pesq_wb"] == ""
    expected = comparison.columns["one"]["stoi"][row]
    assert float(rows["v<1>"]["one_stoi"]) == pytest.approx(expected, abs=1e-6)


def test_means_are_over_the_utterances_that_every_system_has_a_score_of(compared):
    _, output, comparison, _ = compared
    summary = json.loads((output / "summary.json").read_text())
    rows = [number for number, name in enumerate(comparison.names) if name != "short"]
    for system, scores in comparison.columns.items():
        mean = summary["means"]["pesq_wb"][system][0]
        assert mean == pytest.approx(scores["pesq_wb"][rows].mean())
        assert summary["means"]["si_sdr"][system][0] == pytest.approx(scores["si_sdr"].mean())
    table = (output / "table.md").read_text().splitlines()
    assert table[0].startswith("| system | pesq_wb | stoi | si_sdr | lsd | estoi |")
    assert [line.split(" | ")[0] for line in table[2:]] == ["| noisy", "| one", "| two&more"]


class Page(html.parser.HTMLParser):
    """What a page shows and where it takes it from."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.sources += [(tag, values[key]) for key in ("src", "href") if key in values]

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_all_it_shows(compared):
    data, output, _, _ = compared
    page = Page((output / "report.html").read_text())
    assert all(source.startswith("data:") for _, source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)
    sounds = [base64.b64decode(s.split(",")[1]) for tag, s in page.sources if tag == "audio"]
    assert len(sounds) == 3 * 4  # the utterances that have the first score, on four sides
    first = next(part for part in page.text.split("v<")[1:])[0]
    samples, rate = soundfile.read(io.BytesIO(sounds[0]), dtype="int16")
    clean, _ = audio.read(data / "clean" / f"v<{first}>.wav")
    assert rate == 16000
    np.testing.assert_array_equal(samples, clean)
    images = [base64.b64decode(s.split(",")[1]) for tag, s in page.sources if tag == "img"]
    assert len(images) == len(sounds) + 2  # the scatter and the curves
    assert all(image.startswith(b"\x89PNG") for image in images)
    for text in (
        "snr (utterances)",
        "7.5 (2)",
        "generator.floor",
        "0.05",
        "0.2",
        "two&more",
        "lsd",
    ):
        assert text in page.text


def make_comparison(gain, loss, count=40):
    random = np.random.default_rng(0)
    noisy = {"pesq_wb": random.normal(1.5, 0.1, count), "lsd": random.normal(5, 1, count)}
    noise = random.normal(0, 0.01, (2, count))
    better = {
        "pesq_wb": noisy["pesq_wb"] + gain + noise[0],
        "lsd": noisy["lsd"] + loss + noise[1],
    }
    columns = {NOISY: noisy, "gamed": better}
    names = [str(number) for number in range(count)]
    return Comparison(names, np.ones(count), columns, {"pesq_wb": True, "lsd": False})


@pytest.mark.parametrize(
    ("gain", "loss", "verdicts"),
    [(0.2, 0.3, [1, -1]), (0.2, -0.3, [1, 1]), (-0.2, -0.3, [-1, 1]), (0.0, 0.3, [0, -1])],
)
def test_a_gain_beside_a_loss_is_pointed_at(gain, loss, verdicts):
    found = contests(make_comparison(gain, loss))
    assert [contest.better for contest in found] == verdicts
    lines = warnings(found)
    assert bool(lines) == (sorted(verdicts) == [-1, 1])
    if lines:
        assert "gamed gains" in lines[0]
        assert "listen" in report.warning_box(lines)


def test_a_loss_is_pointed_at_with_few_utterances_too():
    found = contests(make_comparison(1.0, 3.0, count=5))
    assert [contest.better for contest in found] == [0, 0]  # five pairs have no p below 0.06
    assert len(warnings(found)) == 1


def test_pesq_is_never_compared_alone():
    assert {"pesq_nb", "si_sdr", "estoi"} <= set(compare.compared_scores("pesq_nb"))
    assert list(compare.compared_scores("stoi,lsd")) == ["stoi", "lsd"]
    assert list(compare.compared_scores("estoi,pesq_wb"))[:2] == ["estoi", "pesq_wb"]


def test_what_no_system_has_a_score_of_is_compared_with_nothing():
    comparison = make_comparison(0.1, 0.1)
    comparison.columns["gamed"]["lsd"][:] = np.nan
    assert {contest.score for contest in contests(comparison)} == {"pesq_wb"}
    assert np.isnan(means(comparison)["lsd"][NOISY].mean)


def test_systems_bear_as_much_of_their_paths_as_tells_them_apart():
    assert compare.system_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert compare.system_names(["x/a", "y/a"]) == ["x/a", "y/a"]
    with pytest.raises(UserError, match="twice"):
        compare.system_names(["x/a", "x/a"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: WORKDIR"),
        (["nowhere"], "nowhere is not the folder of a run"),
        (["RUN", "--data=gone"], "gone: there is no such folder"),
        (["RUN", "--scores=stio"], "'stio' is unknown"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare.devices, "prepare", lambda: None)
    make_workdir(tmp_path / "RUN")
    save(tmp_path / "a.wav", voice(0.3))
    assert compare.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
