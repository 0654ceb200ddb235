import csv
import json

import numpy as np
import pesq
import pystoi
import pytest
import soundfile
from corpora import save
from pair_folders import add_pair, voice
from workdirs import load, make_workdir

from jaxgan.core.errors import UserError
from jaxgan.scores.registry import USUAL, installed
from jaxgan.speech.data import audio
from jaxgan.speech.evaluation.evaluate import choose_examples, evaluate, named_scores, score_paths
from jaxgan.speech.evaluation.tables import Results

SCORES = list(USUAL)
NAMES = ["deep/c", "one", "short", "two", "wide"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """(folder of pairs, output folder, results, the printed lines) of one evaluation."""
    place = tmp_path_factory.mktemp("evaluation")
    data = place / "my set"
    for seed, name in enumerate(("one", "two", "deep/c")):
        add_pair(data, name, voice(1.6 + 0.3 * seed, seed=seed))
    add_pair(data, "wide", voice(1.5, 48000, seed=5), 48000)
    add_pair(data, "short", voice(0.2))
    save(data / "noisy" / "lonely.wav", voice(1))
    lines = []
    workdir = make_workdir(place / "run")
    results = evaluate(load(workdir), workdir, str(data), print_line=lines.append)
    return data, workdir / "eval-my set", results, lines


@pytest.fixture(scope="module")
def rows(evaluated):
    with (evaluated[1] / "scores.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def directly(data, name, side):
    """The scores of one side by the packages themselves, from the files."""
    clean, _ = audio.read(data / "clean" / f"{name}.wav")
    other, _ = audio.read(side)
    clean, other = clean / 32768, other / 32768
    assert len(clean) == len(other)
    return {
        "pesq_wb": pesq.pesq(16000, clean, other, "wb"),
        "pesq_nb": pesq.pesq(16000, clean, other, "nb"),
        "stoi": pystoi.stoi(clean, other, 16000),
    }


@pytest.mark.parametrize("name", ["one", "deep/c", "wide"])
def test_scores_are_those_of_the_files_by_the_packages_themselves(evaluated, rows, name):
    data, output, _, _ = evaluated
    for prefix, side in (
        ("noisy", data / "noisy" / f"{name}.flac"),
        ("enhanced", output / "enhanced" / f"{name}.wav"),
    ):
        for score, value in directly(data, name, side).items():
            assert float(rows[name][f"{prefix}_{score}"]) == pytest.approx(value, abs=2e-6)
    assert rows[name]["enhanced_pesq_wb"] != rows[name]["noisy_pesq_wb"]


def test_every_utterance_has_a_row_and_a_wav_of_its_own_length(evaluated, rows):
    data, output, _, _ = evaluated
    assert list(rows) == NAMES
    for name, row in rows.items():
        made = soundfile.info(output / "enhanced" / f"{name}.wav")
        clean, _ = audio.read(data / "clean" / f"{name}.wav")
        assert (made.frames, made.samplerate, made.channels) == (len(clean), 16000, 1)
        assert float(row["seconds"]) == pytest.approx(len(clean) / 16000, abs=1e-4)


def test_what_has_no_score_is_empty_counted_and_stops_nothing(evaluated, rows):
    _, output, results, lines = evaluated
    assert all(rows["short"][f"{side}_pesq_wb"] == "" for side in ("noisy", "enhanced"))
    assert rows["short"]["noisy_si_sdr"] != ""
    assert results.unscorable == 1
    assert json.loads((output / "summary.json").read_text())["unscorable"] == 1
    assert any("lonely.wav: has no counterpart" in line for line in lines)


def test_the_summary_is_the_mean_of_the_rows(evaluated, rows):
    summary = json.loads((evaluated[1] / "summary.json").read_text())
    assert list(summary) == ["count", "unscorable", "noisy", "enhanced"]
    assert summary["count"] == len(NAMES)
    for side in ("noisy", "enhanced"):
        assert list(summary[side]) == SCORES
        for score in SCORES:
            values = [
                float(row[f"{side}_{score}"]) for row in rows.values() if row[f"{side}_{score}"]
            ]
            assert summary[side][score] == pytest.approx(np.mean(values), abs=2e-6)


def test_figures_are_pictures_with_something_in_them(evaluated):
    from matplotlib.image import imread

    for name in ("scores.png", "spectrograms.png"):
        image = imread(evaluated[1] / name)
        assert image.shape[0] > 300
        assert image.shape[1] > 1000
        assert image[..., :3].std() > 0.05
        assert (evaluated[1] / name).with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_examples_are_the_best_the_median_and_the_worst(tmp_path):
    from corpora import pair_corpus

    from jaxgan.scores import get

    corpus = pair_corpus([300] * 6)
    for number, name in enumerate(corpus.names):
        save(tmp_path / "enhanced" / f"{name}.wav", np.full(300, number / 100))
    noisy = {"stoi": np.array([0.5, 0.5, np.nan, 0.5, 0.5, 0.5])}
    enhanced = {"stoi": np.array([0.5, 0.9, 0.9, 0.4, 0.6, 0.7])}
    results = Results(corpus.names, np.ones(6), noisy, enhanced)
    examples = choose_examples(results, corpus, get("stoi"), tmp_path)
    assert [example.title.split("\n")[0] for example in examples] == [
        "best gain: p1",
        "median gain: p4",
        "worst gain: p3",
    ]
    assert examples[1].title.endswith("STOI 0.50 to 0.60")
    np.testing.assert_array_equal(examples[2].clean, corpus.clean(3))
    np.testing.assert_array_equal(examples[2].enhanced, np.full(300, round(0.03 * 32768)))
    one = Results(corpus.names[:1], np.ones(1), {"stoi": np.ones(1)}, {"stoi": np.ones(1)})
    assert len(choose_examples(one, corpus, get("stoi"), tmp_path)) == 1
    none = Results(corpus.names[:1], np.ones(1), {"stoi": np.ones(1)}, {"stoi": noisy["stoi"][2:3]})
    assert choose_examples(none, corpus, get("stoi"), tmp_path) == []


def test_the_score_of_the_training_comes_first_unless_it_is_not_here(tmp_path, monkeypatch):
    from workdirs import tiny_config

    lines = []
    assert list(score_paths(tiny_config("score=stoi"), print_line=lines.append)) == [
        "stoi",
        *(name for name in SCORES if name != "stoi"),
    ]
    assert lines == []
    assert (
        list(score_paths(tiny_config("score=their_module:score"), print_line=lines.append))
        == SCORES
    )
    assert "their_module" in lines[0]
    (tmp_path / "my_scores.py").write_text(
        "def mine(reference, estimate, rate): return 1.0\n"
        "mine.lowest, mine.highest, mine.higher_is_better = 0, 1, False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    paths = score_paths(tiny_config("score=my_scores:mine"), print_line=lines.append)
    assert next(iter(paths.items())) == ("mine", "my_scores:mine")


def test_scores_are_chosen_by_name_or_all():
    from workdirs import tiny_config

    assert list(score_paths(tiny_config(), "stoi,lsd")) == ["pesq_wb", "stoi", "lsd"]
    assert set(score_paths(tiny_config(), "all")) == set(installed())
    with pytest.raises(UserError, match="'stio' is unknown"):
        score_paths(tiny_config(), "stio")


def test_spaces_between_scores_do_not_matter():
    assert list(named_scores("pesq_wb, stoi")) == ["pesq_wb", "stoi"]


def test_the_runs_own_validation_data_are_the_default(tmp_path):
    for number in range(4):
        add_pair(tmp_path / "data" / "train", f"t{number}", voice(1.0, seed=number))
        add_pair(tmp_path / "data" / "valid", f"v{number}", voice(1.0, seed=9 + number))
    workdir = make_workdir(
        tmp_path / "run",
        "data.kind=pairs",
        f"data.root={tmp_path / 'data'}",
        "data.valid_utterances=2",
    )
    results = evaluate(
        load(workdir, "last"), workdir, checkpoint="last", print_line=lambda line: None
    )
    assert list(results.names) == ["v0", "v3"]
    assert (workdir / "eval-valid-last" / "summary.json").exists()


def test_mistakes_are_reported(tmp_path):
    workdir = make_workdir(tmp_path / "run", "data.kind=pairs", f"data.root={tmp_path / 'gone'}")
    with pytest.raises(UserError, match="gone: there is no such folder"):
        evaluate(load(workdir), workdir, print_line=lambda line: None)
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        evaluate(load(workdir), workdir, str(tmp_path / "nowhere"), print_line=lambda line: None)
    (tmp_path / "clean").mkdir()
    (tmp_path / "noisy").mkdir()
    save(tmp_path / "clean" / "a.wav", voice(1))
    save(tmp_path / "noisy" / "b.wav", voice(1))
    with pytest.raises(UserError, match=r"none of its 2 audio files can be used.*no counterpart"):
        evaluate(load(workdir), workdir, str(tmp_path), print_line=lambda line: None)
    (tmp_path / "noisy" / "b.wav").rename(tmp_path / "noisy" / "a.wav")
    (tmp_path / "out").write_text("a file where a folder must be")
    output = str(tmp_path / "out")
    with pytest.raises(UserError, match=r"cannot write in .*out"):
        evaluate(load(workdir), workdir, str(tmp_path), output=output, print_line=lambda line: None)
