"""Scores for tests that worker processes can import: cheap, and able to fail on purpose."""

import os

import numpy as np

from jaxgan.scores.score import Score, Unscorable


def _correlation(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return float(
        abs(reference @ estimate) / np.sqrt((reference @ reference) * (estimate @ estimate))
    )


def _picky(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    if len(reference) % 2:
        raise Unscorable("an odd number of samples")
    return _correlation(reference, estimate, sample_rate)


def _deadly(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    if len(reference) % 2:
        os._exit(1)
    return _correlation(reference, estimate, sample_rate)


def _nothing(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    raise Unscorable("on principle")


def _level(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return float(np.abs(estimate).mean())


level = Score("level", 0.0, 1.0, True, _level)
nothing = Score("nothing", 0.0, 1.0, True, _nothing)
correlation = Score("correlation", 0.0, 1.0, True, _correlation)
picky = Score("picky", 0.0, 1.0, True, _picky)
deadly = Score("deadly", 0.0, 1.0, True, _deadly)
