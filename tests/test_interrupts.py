"""Ctrl-C and SIGTERM in every command, from its first second on."""

import signal
import subprocess
import sys
import time

import pytest

from jaxgan.core import command, signals

COMMANDS = {
    "jaxgan.commands.train": ["--config=gan:tiny", "--workdir=run"],
    "jaxgan.commands.eval": ["--workdir=run"],
    "jaxgan.commands.enhance": ["--workdir=run", "--input=in", "--output=out"],
    "jaxgan.commands.sample": ["--workdir=run"],
    "jaxgan.compare": ["run", "other"],
    "jaxgan.export": ["--workdir=run", "--output=out"],
    "jaxgan.images.battle": ["run", "other"],
    "jaxgan.images.retrieval": ["--workdir=run"],
}

AT_AN_IMPORT = """
import importlib.abc, os, runpy, signal, sys

class Sender(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == PACKAGE:
            os.kill(os.getpid(), NUMBER)

PACKAGE, NUMBER = sys.argv[1], int(sys.argv[2])
sys.meta_path.insert(0, Sender())
sys.argv[:4] = [name := sys.argv[3]]
if ".commands." in name:
    name, sys.argv[1:1] = "jaxgan", [name.rpartition(".")[2]]
runpy.run_module(name, run_name="__main__")
"""


DOWNLOADS = ("jaxgan.images.download", "jaxgan.speech.data.voicebank")


@pytest.mark.parametrize("name", [*COMMANDS, *DOWNLOADS])
def test_a_signal_during_the_imports_ends_any_command_in_one_line(name, tmp_path):
    number = signal.SIGINT if len(name) % 2 else signal.SIGTERM
    # Packages that take a while to import.
    package = "numpy" if name in DOWNLOADS else "jax"
    arguments = [package, str(int(number)), name, *COMMANDS.get(name, ())]
    done = subprocess.run(
        [sys.executable, "-c", AT_AN_IMPORT, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith(("stopped", "interrupted; the same command continues"))
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


class Dying:
    """An object whose destructor is interrupted."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", signals.NUMBERS)
def test_an_interrupt_that_python_drops_is_raised_again(number, capfd):
    handlers = [signal.getsignal(number) for number in signals.NUMBERS]

    def action():
        Dying(number)
        time.sleep(20)
        raise AssertionError

    assert command.run(action, "stopped here") == 130
    assert capfd.readouterr().err == "stopped here\n"
    assert [signal.getsignal(number) for number in signals.NUMBERS] == handlers


def test_the_same_request_twice_does_not_interrupt_the_cleaning(capfd):
    cleaned = []

    def action():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    assert command.run(action) == 130
    assert cleaned
    assert capfd.readouterr().err == "stopped\n"
