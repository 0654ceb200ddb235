"""Folders of clean and noisy files, with sounds that every score accepts."""

from pathlib import Path

import numpy as np
from corpora import save


def voice(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Returns a voiced sound in syllables, float64 [n]: enough for PESQ to find utterances."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / rate
    partials = range(1, 25)
    tones = sum(np.sin(k * pitch + random.uniform(0, 6)) / k for k in partials)
    return 0.1 * tones * np.clip(np.sin(2 * np.pi * 3.1 * time + seed), 0, None)


def add_pair(folder: Path, name: str, wave: np.ndarray, rate: int = 16000) -> None:
    """Writes `clean/NAME.wav` and, with white noise added, `noisy/NAME.flac`."""
    random = np.random.default_rng(len(wave))
    save(folder / "clean" / f"{name}.wav", wave, rate)
    save(folder / "noisy" / f"{name}.flac", wave + 0.03 * random.standard_normal(len(wave)), rate)
