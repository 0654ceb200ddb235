import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import optax
import pytest

from jaxgan import recipes
from jaxgan.core import devices
from jaxgan.core.errors import NonFiniteError
from jaxgan.core.recipe import Declaration, Evaluation
from jaxgan.core.state import make_player, make_run_state

PROGRAM = Path(__file__).parents[1] / "train.py"

CONFIG = """
from ml_collections import ConfigDict

def get_config(preset=None):
    return ConfigDict({
        "recipe": "counting" if preset == "counting" else "none", "worker_count": 1,
        "rounds": 3, "seed": 0, "batch_size": 1,
        "validation": {"every": 1}, "checkpoint": {"every": 1},
    })
"""


class Counting:
    """A recipe that trains nothing."""

    files = types.MappingProxyType({})
    reports = files
    optional_players = ()
    fresh_players = ()
    history_window = 0
    phase_starts = ()
    raises = None
    closed = 0

    def __init__(self, config, mesh):
        pass

    def init(self, key):
        variables = {"params": {"weight": jnp.zeros(1)}}
        return make_run_state(key, {"player": make_player(variables, optax.identity())})

    def round(self, state, history, number, timer):
        if self.raises:
            raise self.raises
        return state, {}, {"loss": 1.0 / number}

    def evaluate(self, state, number):
        return lambda: Evaluation({"score": float(number)}, float(number))

    def close(self):
        Counting.closed += 1


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("train", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a config file."""
    (tmp_path / "toy.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    system = types.ModuleType("counting_system")
    system.DECLARATION = Declaration(make=Counting, may_change=("worker_count",))
    monkeypatch.setitem(sys.modules, "counting_system", system)
    monkeypatch.setitem(recipes.RECIPES, "counting", "counting_system")
    monkeypatch.setattr(devices, "start", lambda *given: None)
    monkeypatch.setattr(Counting, "closed", 0)
    monkeypatch.setattr(Counting, "raises", None)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --config"),
        (["--config=nothing.py"], "nothing.py does not exist"),
        (["--config=toy.py", "--config.round=4"], "did you mean rounds?"),
        (["--config=toy.py", "--rounds=4"], "write it as --config.key=value"),
        (["--config=toy.py", "--profile=soon"], "invalid int value: 'soon'"),
        (["--config=toy.py"], "config.recipe='none': choose one of"),
        (["--config=toy.py:counting", "--profile=4"], "the remaining rounds are 1 to 3"),
    ],
)
def test_a_mistake_is_reported_in_one_line_with_status_2(
    program, folder, capsys, arguments, message
):
    assert program.main(arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_a_run_is_in_the_folder_of_its_config_and_continues(program, folder, capsys):
    command = ["--config=toy.py:counting"]
    assert program.main([*command, "--config.rounds=2"]) == 0
    rows = (folder / "runs" / "toy-counting" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["train/loss"] for row in rows] == [1.0, 0.5]
    assert program.main([*command, "--config.worker_count=2"]) == 0
    assert "continues after round 2 of 3" in capsys.readouterr().out
    assert Counting.closed == 2
    assert program.main(command) == 0
    assert "finished, 3 rounds are done" in capsys.readouterr().out
    # A finished run makes no recipe, so its data are not read again.
    assert Counting.closed == 2
    assert program.main([*command, "--config.seed=1"]) == 2
    assert "seed was 0 and is now 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (NonFiniteError("loss is nan"), 1, "loss is nan\n"),
        (KeyboardInterrupt(), 130, "stopped at once; the same command continues"),
    ],
)
def test_other_ends_have_their_own_status(
    program, folder, capsys, monkeypatch, error, status, message
):
    monkeypatch.setattr(Counting, "raises", error)
    assert program.main(["--config=toy.py:counting", "--workdir=there"]) == status
    assert capsys.readouterr().err.startswith(message)
    assert Counting.closed == 1


def test_importing_the_program_imports_no_jax():
    look = "import sys, runpy; runpy.run_path(sys.argv[1]); print('jax' in sys.modules)"
    command = [sys.executable, "-c", look, str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
