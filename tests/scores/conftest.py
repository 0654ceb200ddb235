"""Signals and scores that the tests of this folder share, and its helpers made importable."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

MOODY_SCORES = """
import ctypes, os, signal, sys, time
from jaxgan.scores import Unscorable

def score(function):
    function.lowest, function.highest, function.higher_is_better = 0.0, 100.0, True
    return function

def first(samples):
    return int(round(samples[0] * 32768))

@score
def same(reference, estimate, sample_rate):
    return first(reference)

@score
def moody(reference, estimate, sample_rate):
    mood = first(reference)
    if mood == 1: raise ValueError("a defect")
    if mood == 2: sys.exit(3)
    if mood == 3: return float("nan")
    if mood == 4: raise Unscorable("nothing to hear")
    if mood == 5: os._exit(0)
    if mood == 6: os.kill(os.getpid(), signal.SIGKILL)
    if mood == 7: os.kill(os.getpid(), signal.SIGSEGV)
    if mood == 8:
        while True: pass
    if mood == 9: ctypes.PyDLL(None).sleep(1000)  # holds Python's lock
    return mood

@score
def slow(reference, estimate, sample_rate):
    time.sleep(0.4)
    return os.getpid()

@score
def brief(reference, estimate, sample_rate):
    time.sleep(0.2)
    return 1.0

@score
def loaded(reference, estimate, sample_rate):
    return sum(name in sys.modules for name in ("jax", "jaxlib", "flax", "pytest", "scipy"))

@score
def talkative(reference, estimate, sample_rate):
    print("a score prints")
    return 1.0
"""


@pytest.fixture
def make_speech() -> Callable[..., np.ndarray]:
    """A voiced sound in syllables and pauses, float64 [n]: enough for PESQ to find utterances."""

    def make(seconds: float, sample_rate: int = 16000, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        time = np.arange(int(seconds * sample_rate)) / sample_rate
        pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / sample_rate
        partials = range(1, 25)
        voice = sum(np.sin(k * pitch + random.uniform(0, 6)) / k for k in partials)
        syllables = np.clip(np.sin(2 * np.pi * 3.1 * time), 0, None)
        phrases = np.sin(2 * np.pi * 0.4 * time + 0.5) > -0.5
        return 0.1 * voice * syllables * phrases

    return make


@pytest.fixture
def moody_scores(tmp_path, monkeypatch) -> str:
    """The name of a module of scores with every fault a score can have."""
    (tmp_path / "moody_scores.py").write_text(MOODY_SCORES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "moody_scores", raising=False)
    return "moody_scores"
