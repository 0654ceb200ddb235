"""Objectives: a user's Python function that rates many items at once, in worker processes.

An objective is `reward_fn(items) -> numbers`, a list for a list; each about 0 to 1, higher is
better, NaN for an item that cannot be rated. It is asked once for equal items: it has to be a
function of the item alone. Whatever it does (raises, crashes, hangs) gives NaN and stops nothing.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.scores.pool import WorkerPool
from jaxgan.scores.registry import import_path

Objective = Callable[[list[Any]], Sequence[float]]

PIECE = 256
"""Items that one worker is given at a time."""
MOST_CACHED = 1_000_000


class ObjectivePool:
    """Rates items by an objective. A context manager; `close` ends the worker processes.

    Args:
        path: import path of the objective, `package.function` or `module:function`.
        workers: how many processes; 0: the cores that this process may run on.
        deadline_seconds: how long `PIECE` items may take.

    Attributes:
        calls: items that the objective was asked for, each once.

    Raises:
        UserError: there is no such function, or it cannot be loaded in a worker.
    """

    def __init__(self, path: str, workers: int = 0, deadline_seconds: float = 60.0) -> None:
        load_objective(path)
        self._path = path
        self._cache: dict[Hashable, float] = {}
        self.calls = 0
        load = "jaxgan.scores.objectives:load_objective"
        self._pool = WorkerPool((path,), load, (), workers, deadline_seconds)
        try:
            self._pool.wait_until_ready()
        except BaseException:
            self._pool.close()
            raise

    def __enter__(self) -> Self:  # noqa: D105
        return self

    def __exit__(self, *_: object) -> None:  # noqa: D105
        self.close()

    def __call__(self, items: Sequence[Any]) -> np.ndarray:
        """float32 [n]: the rating of every item (hashable), NaN where there is none."""
        new = [item for item in dict.fromkeys(items) if item not in self._cache]
        if len(self._cache) + len(new) > MOST_CACHED:
            self._cache.clear()
            new = list(dict.fromkeys(items))
        size = max(1, min(PIECE, math.ceil(len(new) / self._pool.workers)))
        pieces = [new[start : start + size] for start in range(0, len(new), size)]
        futures = [self._pool.measure(piece) for piece in pieces]
        for piece, future in zip(pieces, futures, strict=True):
            found = np.broadcast_to(future.result()[self._path], len(piece))
            self._cache.update(zip(piece, found.tolist(), strict=True))
        self.calls += len(new)
        return np.array([self._cache[item] for item in items], np.float32)

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()


def load_objective(path: str) -> Callable[[list[Any]], list[float]]:
    """The objective at an import path, with its results checked.

    Raises:
        UserError: there is none, or it cannot be called.
    """
    found = import_path(path, "objective")
    if not callable(found):
        raise UserError(f"objective: '{path}' cannot be called with a list of items")

    def rate(items: list[Any]) -> list[float]:
        ratings = [float(value) for value in found(items)]
        if len(ratings) != len(items):
            raise ValueError(f"{len(ratings)} ratings for {len(items)} items")
        return [value if math.isfinite(value) else math.nan for value in ratings]

    return rate
