"""Comparing runs: the scores, the files, and a page that needs nothing beside itself."""

import base64
import csv
import dataclasses
import html
import io
import json
import re

import numpy as np
import pytest
import soundfile
from corpora import save
from pair_folders import add_pair, voice
from workdirs import load, make_workdir, tiny_config

from jaxgan import compare as command
from jaxgan.core import devices
from jaxgan.reporting.comparison import Difference
from jaxgan.reporting.statistics import Interval
from jaxgan.scores import get
from jaxgan.speech.data import audio
from jaxgan.speech.data.pairs import read_pairs
from jaxgan.speech.evaluation import compare
from jaxgan.speech.evaluation.compare import NOISY
from jaxgan.speech.evaluation.tables import warnings
from jaxgan.speech.networks.stft import FrontEnd

SCORES = "pesq_wb,stoi,si_sdr,lsd"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(data, output, comparison) of two runs on four utterances."""
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
    output = place / "out"
    trained = list(map(load, runs))
    comparison = compare.compare(
        runs, trained, str(place / "set"), output=str(output), scores=SCORES
    )
    return place / "set", output, comparison


def test_scores_are_those_of_the_files(compared):
    data, output, comparison = compared
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
    assert list(rows["short"])[:3] == ["name", "seconds", "noisy_pesq_wb"]
    assert float(rows["v<1>"]["one_stoi"]) == pytest.approx(expected, abs=1e-6)


def test_means_are_over_the_utterances_that_every_system_has_a_score_of(compared):
    _, output, comparison = compared
    summary = json.loads((output / "summary.json").read_text())
    rows = [number for number, name in enumerate(comparison.names) if name != "short"]
    for system, scores in comparison.columns.items():
        mean = summary["means"]["pesq_wb"][system][0]
        assert mean == pytest.approx(scores["pesq_wb"][rows].mean())
        assert summary["means"]["si_sdr"][system][0] == pytest.approx(scores["si_sdr"].mean())
    table = (output / "table.md").read_text().splitlines()
    assert table[0].startswith("| system | pesq_wb | stoi | si_sdr | lsd | estoi |")
    assert [line.split(" | ")[0] for line in table[2:]] == ["| noisy", "| one", "| two&more"]


def test_the_page_embeds_what_it_shows(compared):
    data, output, _ = compared
    source = (output / "report.html").read_text()
    text = html.unescape(source)
    links = re.findall(r'(?:src|href)="(?!data:)', source)
    assert not links
    assert not re.search("<(script|link|iframe)", source)
    sounds = re.findall('src="data:audio/wav;base64,([^"]*)"', source)
    assert len(sounds) == 3 * 4  # the utterances that have the first score, on four sides
    first = re.search("<h3>v<(.)>", text)[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])), dtype="int16")
    clean, _ = audio.read(data / "clean" / f"v<{first}>.wav")
    assert rate == 16000
    np.testing.assert_array_equal(samples, clean)
    images = re.findall('src="data:image/png;base64,([^"]*)"', source)
    assert len(images) == len(sounds) + 2  # the scatter and the curves
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    for expected in (
        "snr (utterances)",
        "7.5 (2)",
        "generator.floor",
        "0.05",
        "0.2",
        "two&more",
        "lsd",
    ):
        assert expected in text


def test_descriptions_are_shown_beside_the_speech_that_was_scored(compared):
    data, output, comparison = compared
    corpus, _ = read_pairs(data)
    score = dataclasses.replace(get("stoi"), text=lambda samples, _: f"{len(samples)} samples")
    galleries = compare._galleries(comparison, corpus, [score], FrontEnd(), output / "enhanced")
    assert len(galleries) == 3
    for gallery in galleries:
        count = corpus.lengths[corpus.names.index(gallery.heading)]
        clean, *others = gallery.panels
        assert clean.note == ""
        assert [panel.note.split(". ")[-1] for panel in others] == [f"{count} samples"] * 3


def test_a_gain_beside_a_loss_calls_for_listening():
    gain, loss = Interval(0.2, 0.1, 0.3), Interval(-2.0, -3.0, -1.0)
    differences = [
        Difference("run", NOISY, "pesq_wb", gain, 0.01, 1, 1),
        Difference("run", NOISY, "si_sdr", loss, 0.2, -1, 0),
    ]
    assert warnings(differences) == [
        "run gains pesq_wb (+0.200) over noisy and loses si_sdr (-2.000): "
        "listen before you believe a score"
    ]
    assert warnings(differences[:1]) == []


def test_runs_that_were_validated_on_other_data_are_named():
    one, two, three = (
        tiny_config(*overrides)
        for overrides in (
            (),
            ("data.buckets=2", "data.talking.train=9", "seed=1"),
            ("data.seed=1", "data.kind=pairs"),
        )
    )
    assert compare.validation_warnings({"one": one, "two": two}) == []
    [line] = compare.validation_warnings({"one": one, "two": two, "three": three})
    assert line.startswith("three and one were validated with other data settings (data.kind, ")
    assert line.endswith("so their validation curves cannot be compared")


def test_pesq_is_never_compared_without_other_scores():
    assert {"pesq_nb", "si_sdr", "estoi"} <= set(compare.compared_scores("pesq_nb"))
    assert list(compare.compared_scores("stoi,lsd")) == ["stoi", "lsd"]
    assert list(compare.compared_scores("estoi,pesq_wb"))[:2] == ["estoi", "pesq_wb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: WORKDIR"),
        (["nowhere"], "nowhere is not the folder of a run"),
        (["RUN", "--data=gone"], "gone: there is no such folder"),
        (["RUN", "--scores=stio"], "'stio' is unknown"),
    ],
)
def test_user_errors_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "prepare", lambda: None)
    make_workdir(tmp_path / "RUN")
    save(tmp_path / "a.wav", voice(0.3))
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
