"""Fixtures for the tests of the device scores: pairs, batches, gradient checks."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
import pytest

Pair = tuple[np.ndarray, np.ndarray]
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def make_pairs(make_speech) -> Callable[..., list[Pair]]:
    """Makes noisy pairs; every second one has bursts of noise, which are bad intervals for PESQ."""

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
    """Makes one padded batch of pairs; the padding is noise, which a score must not read."""

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


@pytest.fixture
def finite_differences() -> Callable[..., np.ndarray]:
    """Compares the gradient of a loss with central differences in float64, and returns it.

    Only the samples of the first pair are varied, so the loss must depend only on them.
    """

    def compare(
        loss: Callable[[jax.Array], jax.Array], estimate: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        random = np.random.default_rng(4)
        value_and_gradient = jax.jit(jax.value_and_grad(loss))
        estimate = estimate.astype(np.float64)
        gradient = np.asarray(value_and_gradient(estimate)[1])
        assert gradient.dtype == np.float64
        assert np.isfinite(gradient).all()
        assert not any(row[length:].any() for row, length in zip(gradient, lengths, strict=True))
        for _ in range(4):
            direction = np.zeros_like(estimate)
            direction[0, : lengths[0]] = random.standard_normal(lengths[0])
            step = 1e-8 * direction
            after, before = (value_and_gradient(estimate + s)[0] for s in (step, -step))
            difference = (after - before) / 2e-8
            np.testing.assert_allclose(np.vdot(gradient, direction), difference, rtol=1e-5)
        return gradient

    return compare
