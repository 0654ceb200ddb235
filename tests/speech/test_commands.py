"""Runs eval.py and enhance.py as commands."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from corpora import save, tone
from workdirs import make_workdir

from jaxgan.core import devices

ROOT = Path(__file__).parents[2]


def program(name):
    spec = importlib.util.spec_from_file_location(f"{name}_command", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: it contains runs, audio, pairs, and counterexamples of each."""
    monkeypatch.setattr(devices, "prepare", lambda: None)
    monkeypatch.chdir(tmp_path)
    make_workdir(tmp_path / "run")
    make_workdir(tmp_path / "untrained", rounds=0)
    (tmp_path / "empty").mkdir()
    save(tmp_path / "a.wav", tone(0.5))
    save(tmp_path / "unpaired" / "clean" / "a.wav", tone(0.5))
    save(tmp_path / "unpaired" / "noisy" / "b.wav", tone(0.5))
    return tmp_path


RUN = "--workdir=run"
OUT = "--output=out"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("enhance", [], "required: --input, --output; see"),
        (
            "enhance",
            ["--input=a.wav", OUT],
            "one of the arguments --workdir --pretrained is required",
        ),
        ("enhance", [RUN, OUT, "--inpt=a.wav"], "the following arguments are required: --input"),
        ("enhance", [RUN, OUT, "--input=a.wav", "--rate=8000"], "unrecognized arguments: --rate"),
        ("enhance", ["--workdir=no", OUT, "--input=a.wav"], "no is not the folder of a run"),
        ("enhance", ["--workdir=empty", OUT, "--input=a.wav"], "empty is not the folder of a run"),
        ("enhance", ["--workdir=untrained", OUT, "--input=a.wav"], "no checkpoint; train first"),
        ("enhance", [RUN, OUT, "--input=a.wav", "--checkpoint=9"], "no checkpoint '9'"),
        ("enhance", [RUN, OUT, "--input=b.wav"], "there is no such file or folder"),
        ("enhance", [RUN, OUT, "--input=empty"], "contains no audio files"),
        ("enhance", [RUN, OUT, "--input=run/config.json"], "cannot be decoded"),
        ("enhance", [RUN, "--output=.", "--input=a.wav"], "would overwrite the input"),
        ("eval", [], "the following arguments are required: --workdir; see"),
        ("eval", ["--workdir=no"], "no is not the folder of a run"),
        ("eval", ["--workdir=untrained"], "no checkpoint; train first"),
        ("eval", [RUN, "--data=no"], "--data=no: there is no such folder"),
        ("eval", [RUN, "--data=empty"], "needs the folders clean and noisy"),
        ("eval", [RUN, "--data=unpaired"], "has no counterpart"),
    ],
)
def test_a_user_error_is_one_line_with_status_2(folder, capsys, name, arguments, message):
    assert program(name)(arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not (folder / "out").exists()


def test_enhance_enhances(folder, capsys):
    assert program("enhance")([RUN, OUT, "--input=a.wav", "--checkpoint=last"]) == 0
    assert soundfile.info(folder / "out" / "a.wav").frames == 8000
    output = capsys.readouterr()
    assert output.out.startswith("out: 1 file enhanced, ")
    assert output.err == ""


def test_eval_evaluates(folder, capsys):
    (folder / "unpaired" / "noisy" / "b.wav").rename(folder / "unpaired" / "noisy" / "a.wav")
    assert program("eval")([RUN, "--data=unpaired", "--output=scores"]) == 0
    assert json.loads((folder / "scores" / "summary.json").read_text())["count"] == 1
    output = capsys.readouterr()
    assert "si_sdr" in output.out
    assert "unpaired: 1 utterances" in output.out
    assert output.out.splitlines()[-1].endswith(": scores")


@pytest.mark.parametrize("name", ["eval", "enhance"])
def test_importing_the_program_imports_no_jax(name):
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print('jax' in sys.modules)"
    command = [sys.executable, "-c", code, str(ROOT / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"
