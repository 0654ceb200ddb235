"""The command `jaxgan`."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import jaxgan
from jaxgan import __main__ as command


@pytest.fixture(name="run")
def run_the_command(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxgan", *arguments])
        return command.main()

    return run


def test_a_config_is_named_without_its_folder(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("train", "--config=gan:tiny", "--config.rounds=1") == 0
    assert (tmp_path / "runs" / "gan-tiny" / "metrics.jsonl").exists()
    assert run("sample", "--workdir=runs/gan-tiny", "--output=samples", "--count=3") == 0
    assert (tmp_path / "samples" / "samples.npz").exists()
    capsys.readouterr()
    path = tmp_path / "runs" / "gan-tiny" / "config.json"
    path.write_text(path.read_text().replace('"latent": 64', '"latent": 1000000000'))
    for name in ("sample", "eval"):
        assert run(name, "--workdir=runs/gan-tiny", "--output=samples") == 2
        error = capsys.readouterr().err
        assert "config.json does not describe the networks of the checkpoint" in error
        assert error.count("\n") == 1


def test_a_mistake_names_the_command(run, capsys):
    assert run("sample") == 2
    assert "see jaxgan sample --help" in capsys.readouterr().err
    assert run("train", "--config=metricgun:quick") == 2
    assert "metricgun:quick does not exist" in capsys.readouterr().err
    assert run("train", "--config=gan:quack") == 2
    assert "no preset 'quack'" in capsys.readouterr().err


def test_an_unknown_command_shows_the_known_ones(run, capsys):
    assert run("tran") == 2
    assert "jaxgan tran: no such command; usage: jaxgan {train,eval," in capsys.readouterr().err
    assert run() == 2
    assert run("--help") == 0


def test_help_imports_no_jax():
    program = "import runpy, sys; sys.argv = ['jaxgan', 'train', '--help']; "
    program += "\ntry: runpy.run_module('jaxgan', run_name='__main__')\n"
    program += "except SystemExit: print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("False\n")


def test_the_version_is_that_of_the_package():
    assert jaxgan.__version__ == version("jaxgan")
