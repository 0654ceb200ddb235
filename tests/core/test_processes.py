"""Runs in their own processes: killed, stopped, started again, and two processes at once."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import toy

from jaxgan.core import checkpoint, log, loop

PROGRAM = Path(__file__).parent / "toy.py"
PATIENCE = 120


class Program:
    """A process of `toy.py`, with its output in a file."""

    def __init__(self, workdir, output, *arguments, device_count=1):
        # The other flags stay, so that programs are compiled as in this process.
        flags = re.sub(r"(device_count)=\d+", rf"\1={device_count}", os.environ["XLA_FLAGS"])
        environment = {
            **os.environ,
            "XLA_FLAGS": flags,
            "XDG_CACHE_HOME": str(output.parent / "cache"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self.output = output
        with output.open("w") as file:
            command = [sys.executable, str(PROGRAM), str(workdir), *map(str, arguments)]
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    def wait(self):
        return self.process.wait(PATIENCE)

    def text(self):
        return self.output.read_text()


@pytest.fixture
def start(tmp_path):
    """A function that starts programs; those that still run after the test are killed."""
    programs = []

    def launch(workdir, *arguments, **settings):
        output = tmp_path / f"output_{len(programs)}"
        programs.append(Program(workdir, output, *arguments, **settings))
        return programs[-1]

    yield launch
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def wait_for(text, program):
    """Waits until this program, not one before it, has printed this text."""
    end = time.monotonic() + PATIENCE
    while text not in program.text():
        assert program.process.poll() is None, program.text()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_run_continues_as_if_it_had_not_been_killed(
    recipe, uninterrupted, start, tmp_path, restore, assert_same, numbers, capsys
):
    run = tmp_path / "run"
    killed = start(run, "--rounds", 4, "--every", 2, "--seconds", 0.3)
    wait_for("validation of round 2", killed)  # which is saved, while round 3 is not
    killed.process.kill()
    killed.wait()
    last = checkpoint.rounds(run)[-1]
    loop.run(recipe, toy.get_config(checkpoint={"every": 2}), run)
    assert f"continues after round {last} of 4" in capsys.readouterr().out
    assert numbers(run) == numbers(uninterrupted)
    assert_same(restore(run)[:2], restore(uninterrupted)[:2])


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_two_processes_give_the_numbers_of_one_and_stop_together(
    recipe, uninterrupted, start, tmp_path, restore, numbers
):
    run = tmp_path / "run"
    address = f"localhost:{free_port()}"
    arguments = ("--rounds", 4, "--seconds", 0.5, "--coordinator", address, "--process_id")
    pair = [start(run, *arguments, number, device_count=2) for number in range(2)]
    wait_for("round 1/", pair[0])
    pair[1].process.terminate()
    assert [program.wait() for program in pair] == [0, 0], pair[0].text() + pair[1].text()
    done = checkpoint.rounds(run)[-1]
    assert done in (1, 2)
    assert "SIGTERM: finishing this round" in pair[1].text()
    assert f"stopped and saved after round {done}" in pair[0].text()
    assert "round 1/4" in pair[0].text()
    assert "round 1/4" not in pair[1].text()
    assert "process 0 tracks round 1" in pair[0].text()
    assert "tracks" not in pair[1].text()

    # One process continues, on one device, what two processes saved.
    loop.run(recipe, toy.get_config(), run)
    assert [row["round"] for row in log.read(run)] == [1, 2, 3, 4]
    for one, other in zip(numbers(uninterrupted), numbers(run), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    players = [restore(folder)[0].players for folder in (uninterrupted, run)]
    for one, other in zip(*map(jax.tree.leaves, players), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
