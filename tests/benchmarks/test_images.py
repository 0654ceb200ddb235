"""The benchmark of training steps of images, in miniature."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgan.core import config as configs

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "images.py"
BLOCKER = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Refuse())
"""
"""A sitecustomize.py with which PyTorch is missing."""


def test_a_rehearsal_without_torch(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    found = tmp_path / "found.json"
    path = os.pathsep.join([str(tmp_path), str(PROGRAM.parents[1])])
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, str(PROGRAM), "--rehearse", "--parts=mlp", f"--json={found}"]
    done = subprocess.run(
        command,
        env={**plain, "PYTHONPATH": path, "JAXGAN_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(found.read_text())
    assert figures["torch"] == {"reason": "the package torch is not installed"}
    # Widths of 16: (64 + 1) 16 + 17 784 of G, and 785 16 + 17 of D.
    assert figures["mlp"]["parameters"] == 65 * 16 + 17 * 784 + 785 * 16 + 17
    assert figures["mlp"]["jaxgan: images / s"] > 0
    assert "times PyTorch" not in figures["mlp"]
    assert "mlp: jaxgan: images / s: " in done.stdout


def test_seeds_take_turns_with_one(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import images

    clock = [0.0]
    monkeypatch.setattr(images.time, "perf_counter", lambda: clock[0])
    order = []

    def call(name, seconds):
        order.append(name)
        clock[0] += seconds

    calls = {"one": lambda: call("one", 1.0), "many": lambda: call("many", 3.0)}
    assert images.take_turns(calls, 3, 100.0) == {"one": [1.0] * 3, "many": [3.0] * 3}
    assert order == ["one", "many"] * 3
    # A second turn would end after the limit.
    assert images.take_turns(calls, 3, clock[0] + 7.0) == {"one": [1.0], "many": [3.0]}


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_translations_have_the_networks_of_quick_on_a_cpu(monkeypatch, name):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import images

    config = images.config_of(name, 1, 7, images.parse([]))
    quick = configs.load(str(PROGRAM.parents[1] / "configs" / f"{name}.py:quick"))
    assert config.steps_per_round == 7
    assert config.generator == quick.generator
    assert config.batch_size == quick.batch_size
    rehearsed = images.config_of(name, 1, 3, images.parse(["--rehearse"]))
    assert rehearsed.generator.features == rehearsed.discriminator.features == 2


def test_a_part_that_does_not_exist():
    command = [sys.executable, str(PROGRAM), "--parts=mpl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--parts=mpl: choose from mlp, dcgan, pix2pix, cyclegan, seeds" in done.stderr
