"""Scores that cannot change, computed once: the noisy side of a fixed corpus."""

import concurrent.futures
import math
import threading

import numpy as np

from jaxgan.scores.pool import ScorePool, Values


class ScoreCache:
    """Scores of one fixed pair for each utterance number. Safe to use from several threads."""

    def __init__(self, pool: ScorePool, score: str | None = None):
        """Args: pool: computes what is new. score: one of the pool's; None: its first."""
        self._pool = pool
        self._score = pool.scores[0] if score is None else score
        self._futures: dict[int, concurrent.futures.Future[Values]] = {}
        self._lock = threading.Lock()

    def request(self, index: int, reference: np.ndarray, estimate: np.ndarray) -> None:
        """Starts to score the pair of this utterance number, unless that was done before.

        Args:
            index: the utterance's number in its corpus, 0 or more.
            reference: int16 or floating [n]; must not change until the score is there.
            estimate: likewise.
        """
        with self._lock:
            if index not in self._futures:
                self._futures[index] = self._pool.submit(reference, estimate, (self._score,))

    def scores(self, index: np.ndarray) -> np.ndarray:
        """Raw scores float32 [B]; waits for those that are not there yet.

        Args:
            index: integer [B]; -1 marks a padding row, which gives NaN.

        Raises:
            KeyError: an utterance that was never requested.
        """
        values = [
            math.nan if number < 0 else self._futures[number].result()[self._score]
            for number in np.asarray(index).tolist()
        ]
        return np.array(values, np.float32)
