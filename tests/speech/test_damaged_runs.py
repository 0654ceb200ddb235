"""Every command says in one line what is wrong with the folder of a run."""

import json

import numpy as np
import pytest
from corpora import save
from workdirs import make_workdir

from jaxgan import compare, export
from jaxgan.commands import enhance
from jaxgan.commands import eval as evaluate

COMMANDS = {"enhance": enhance, "eval": evaluate, "compare": compare, "export": export}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("damaged") / "run")


@pytest.fixture
def start(run, tmp_path):
    """Runs a command on the folder; returns its status."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(9000)
    data = save(tmp_path / "data" / "noisy" / "a.wav", noise).parents[1]
    save(data / "clean" / "a.wav", noise)
    flags = {
        "enhance": [f"--workdir={run}", f"--input={data}/noisy", f"--output={tmp_path}/out"],
        "eval": [f"--workdir={run}", f"--data={data}", f"--output={tmp_path}/out"],
        "compare": [str(run), str(run), f"--data={data}", f"--output={tmp_path}/out"],
        "export": [f"--workdir={run}", f"--output={tmp_path}/out"],
    }
    return lambda name: COMMANDS[name].main(flags[name])


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generator.width", 10**9, "does not describe the networks of the checkpoint"),
        ("generator.extra", 1, "does not describe the networks of the checkpoint"),
        ("generator.width", "wide", "generator.width='wide': expected int"),
        ("generator", None, "generator=None: expected a section"),
        ("front_end.hop", 0, "config.front_end.hop=0: must be from 1 to 256"),
        ("dtype", "float99", "config.dtype=float99: choose one of"),
        ("scoring.deadline_seconds", "x", "scoring.deadline_seconds='x': expected float"),
    ],
)
def test_a_changed_config_is_reported_by_every_command(
    run, start, capsys, name, key, value, message
):
    path = run / "config.json"
    intact = path.read_text()
    config = json.loads(intact)
    *sections, last = key.split(".")
    node = config
    for section in sections:
        node = node[section]
    node[last] = value
    path.write_text(json.dumps(config))
    try:
        assert start(name) == 2
    finally:
        path.write_text(intact)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_truncated_array_is_reported_by_every_command(run, start, capsys, name):
    paths = [path for path in run.rglob("players/**/d/*") if path.stat().st_size > 200]
    intact = {path: path.read_bytes() for path in paths}
    for path, data in intact.items():
        path.write_bytes(data[: len(data) // 2])
    try:
        assert start(name) == 2
    finally:
        for path, data in intact.items():
            path.write_bytes(data)
    error = capsys.readouterr().err
    assert "checkpoints/1 cannot be restored (players/" in error
    assert error.count("\n") == 1
