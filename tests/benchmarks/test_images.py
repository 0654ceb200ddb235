"""The benchmark of training steps of images, in miniature."""

import functools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

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
    assert figures["mlp"]["float32"]["jaxgan: images / s"] > 0
    assert "times PyTorch" not in figures["mlp"]["float32"]
    assert "mlp: float32: jaxgan: images / s: " in done.stdout


@pytest.fixture
def clock(monkeypatch):
    """Makes the benchmarks importable, with a clock that only moves when a test adds to it."""
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import turns

    clock = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(turns.time, "process_time", lambda: clock[0] / 2)
    return clock


class StandIn:
    """In place of turns.Loop: a round takes 1 s, in bfloat16 0.5 s, with several seeds 1.5 s."""

    recipe = types.SimpleNamespace(_shared=[types.SimpleNamespace(values=np.zeros((4, 2)))])

    def __init__(self, clock, config):
        self.clock, self.config = clock, config

    def parameters(self):
        return 5

    def round(self):
        several = self.config.get("seeds", 1) > 1
        self.clock[0] += 1.5 if several else {"bfloat16": 0.5}.get(self.config.dtype, 1.0)


def test_functions_take_turns_until_the_limit(clock):
    import turns

    order = []

    def call(name, seconds):
        order.append(name)
        clock[0] += seconds

    calls = {"one": lambda: call("one", 1.0), "many": lambda: call("many", 3.0)}
    for number, times in enumerate(turns.take_turns(calls, 3, 100.0), start=1):
        assert order == ["one", "many"] * number
        assert times == {"one": [(1.0, 0.5)] * number, "many": [(3.0, 1.5)] * number}
    assert number == 3
    # A second turn would end after the limit.
    (times,) = turns.take_turns(calls, 3, clock[0] + 7.0)
    assert len(times["one"]) == 1


def test_the_time_of_several_seeds_is_relative_to_one(clock, monkeypatch):
    import turns

    monkeypatch.setattr(turns, "Loop", functools.partial(StandIn, clock))
    monkeypatch.setattr(turns, "warm", lambda loops: 0.0)
    sizes = {"steps_per_round": 7, "batch_size": 4, "dtype": "float32"}
    first, *found = turns.seeds_beside_one(
        lambda seeds: ConfigDict({"seeds": seeds, **sizes}), 2, 100.0
    )
    assert "repeats" not in first
    assert first["steps of a round"] == 7
    assert found[-1]["repeats"] == [1.5, 1.5]
    assert found[-1]["seeds=8: seconds of a round"] == 1.5
    assert found[-1]["time of 8 seeds over that of one"] == 1.5


class Torch:
    """In place of PyTorch's loop: a step takes two seconds, in bfloat16 one."""

    def __init__(self, clock, config, values):
        assert values.shape == (4, 2)
        self.clock, self.seconds = clock, 1.0 if config.dtype == "bfloat16" else 2.0

    def parameters(self):
        return 5

    def steps(self, count):
        self.clock[0] += self.seconds * count


def stand_ins(clock, monkeypatch):
    """Replaces what takes time, and returns the options of a turn of three steps."""
    import images

    monkeypatch.setattr(images, "Loop", functools.partial(StandIn, clock))
    monkeypatch.setattr(images.turns, "warm", lambda loops: 0.0)
    return images, images.parse(["--rehearse", "--dtypes=float32,bfloat16"])


def test_jaxgan_is_compared_with_torch_in_the_same_dtype_and_in_float32(clock, monkeypatch):
    images, options = stand_ins(clock, monkeypatch)
    make_torch = functools.partial(Torch, clock)
    _, before, found = images.beside_torch("mlp", make_torch, options, 1000.0)
    # Three steps of eight images. jaxgan's take 1 or 0.5 s together, PyTorch's 6 or 3 s.
    assert before["float32"]["jaxgan: images / s"] == 24
    assert "times PyTorch" not in before["float32"]
    assert found["float32"]["torch: images / s"] == 4
    assert found["bfloat16"]["torch: images / s"] == 8
    assert found["float32"]["times PyTorch"] == 6
    assert found["bfloat16"]["times PyTorch"] == 6
    assert found["bfloat16"]["times PyTorch in float32"] == 12
    assert "times PyTorch in float32" not in found["float32"]
    assert found["float32"]["torch: CPU s of 1,000 images"] == pytest.approx(1000 * 3 / 24)


def test_jaxgan_has_figures_even_if_torch_fails(clock, monkeypatch):
    images, options = stand_ins(clock, monkeypatch)
    monkeypatch.setattr(Torch, "parameters", lambda self: 6)
    measured = images.beside_torch("mlp", functools.partial(Torch, clock), options, 1000.0)
    next(measured)
    assert next(measured)["bfloat16"]["jaxgan: images / s"] == 48
    with pytest.raises(RuntimeError, match="PyTorch's networks have 6 parameters"):
        next(measured)


def test_why_torch_cannot_be_used_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import images

    (tmp_path / "torch.py").write_text("raise ImportError('libcudnn.so.9: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert images.open_torch(1) == ({"reason": "ImportError: libcudnn.so.9: no such file"}, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert images.open_torch(1) == ({"reason": "the package torch is not installed"}, None)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_translations_have_the_networks_of_quick_on_a_cpu(monkeypatch, name):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import images

    config = images.config_of(name, images.parse([]), dtype="bfloat16")
    quick = configs.load(str(PROGRAM.parents[1] / "configs" / f"{name}.py:quick"))
    assert (config.steps_per_round, config.dtype) == (images.STEPS["cpu"][name][0], "bfloat16")
    assert config.generator == quick.generator
    assert config.batch_size == quick.batch_size
    rehearsed = images.config_of(name, images.parse(["--rehearse"]))
    assert rehearsed.generator.features == rehearsed.discriminator.features == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mlp", "dcgan", "pix2pix", "cyclegan"])
def test_the_loops_of_torch_move_every_network(monkeypatch, name, dtype):
    torch = pytest.importorskip("torch", reason="needs the extra benchmarks")
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import images

    config = images.config_of(name, images.parse(["--rehearse"]), dtype=dtype)
    _, make_torch = images.open_torch(1)
    values = np.random.default_rng(0).integers(256, size=(16, 28, 28, 1), dtype=np.uint8)
    loop = make_torch(config, [values, values] if name in images.TRANSLATIONS else values)
    networks = getattr(loop, "networks", None)
    networks = networks.values() if networks else (loop.generator, loop.discriminator)
    before = [[p.detach().clone() for p in network.parameters()] for network in networks]
    assert np.isfinite(loop.steps(2)).all()
    for network, old in zip(networks, before, strict=True):
        pairs = list(zip(network.parameters(), old, strict=True))
        assert all(parameter.dtype == torch.float32 for parameter, _ in pairs)
        assert any(not torch.equal(parameter, value) for parameter, value in pairs)


def test_a_part_that_does_not_exist():
    command = [sys.executable, str(PROGRAM), "--parts=mpl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--parts=mpl: choose from mlp, dcgan, pix2pix, cyclegan, seeds" in done.stderr
