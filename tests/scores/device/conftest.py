"""Batches of pairs that the tests of the device scores share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

Pair = tuple[np.ndarray, np.ndarray]
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def make_pairs(make_speech) -> Callable[..., list[Pair]]:
    """Noisy pairs, some of them with noise in bursts: those make PESQ look again."""

    def make(seconds: Sequence[float], sample_rate: int = 16000, seed: int = 0) -> list[Pair]:
        random = np.random.default_rng(seed)
        pairs = []
        for number, duration in enumerate(seconds):
            clean = make_speech(duration, sample_rate, seed=seed + number)
            clean = clean + 1e-4 * random.standard_normal(len(clean))
            noise = random.standard_normal(len(clean))
            if number % 2:
                time = np.arange(len(clean)) / sample_rate
                noise *= 0.05 + 1.5 * (np.sin(2 * np.pi * 1.3 * time) > 0.6)
            level = np.sqrt(np.mean(clean**2)) * 10 ** (-random.uniform(5, 25) / 20)
            noisy = clean + level * noise
            pairs.append((clean.astype(np.float32), noisy.astype(np.float32)))
        return pairs

    return make


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Pairs as one padded batch; what lies past the lengths is noise that must not be read."""

    def make(pairs: Sequence[Pair], samples: int | None = None) -> Batch:
        lengths = np.array([len(clean) for clean, _ in pairs], np.int32)
        samples = samples or int(lengths.max())
        random = np.random.default_rng(9)
        sides = random.standard_normal((2, len(pairs), samples)).astype(np.float32)
        for row, pair in enumerate(pairs):
            for side, signal in zip(sides, pair, strict=True):
                side[row, : len(signal)] = signal
        return sides[0], sides[1], lengths

    return make
