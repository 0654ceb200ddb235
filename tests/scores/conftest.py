"""Fixtures for speech-like signals and faulty scores; puts this folder on the import path."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

FAULTY_SCORES = """
import ctypes, os, signal, sys, time
from jaxgan.scores import Score, Unscorable

def score(function):
    function.lowest, function.highest, function.higher_is_better = 0.0, 100.0, True
    return function

def first(samples):
    return int(round(samples[0] * 32768))

@score
def same(reference, estimate, sample_rate):
    return first(reference)

@score
def faulty(reference, estimate, sample_rate):
    fault = first(reference)
    if fault == 1: raise ValueError("a defect")
    if fault == 2: sys.exit(3)
    if fault == 3: return float("nan")
    if fault == 4: raise Unscorable("no speech")
    if fault == 5: os._exit(0)
    if fault == 6: os.kill(os.getpid(), signal.SIGKILL)
    if fault == 7: os.kill(os.getpid(), signal.SIGSEGV)
    if fault == 8:
        while True: pass
    if fault == 9: ctypes.PyDLL(None).sleep(1000)  # holds Python's global interpreter lock
    return fault

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

def prepare():
    global ready
    time.sleep(1.0)
    ready = 1.0

heavy = Score("heavy", 0.0, 1.0, True, lambda *pair: ready, prepare=prepare)
"""


@pytest.fixture
def make_speech() -> Callable[..., np.ndarray]:
    """Makes a voiced sound, float64 [n], with syllables and pauses: PESQ finds utterances in it."""

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
def faulty_scores(tmp_path, monkeypatch) -> str:
    """Writes a module of scores with every fault that a score can have; returns its name."""
    (tmp_path / "faulty_scores.py").write_text(FAULTY_SCORES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faulty_scores", raising=False)
    return "faulty_scores"
