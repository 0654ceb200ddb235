"""Objectives: a user's Python function that rates many items at once, in worker processes.

An objective is `reward_fn(items) -> numbers`, a list for a list; each about 0 to 1, higher is
better, NaN for an item that cannot be rated. It is asked once for equal items: it has to be a
function of the item alone. Whatever it does (raises, crashes, hangs) stops nothing: it is asked for
shorter lists, and what it fails on alone is NaN. Only where it costs too many workers (`MOST_LOST`)
are other items NaN for the time being.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.scores.pool import WorkerPool
from jaxgan.scores.registry import import_path

Objective = Callable[[list[Any]], Sequence[float]]

PIECE = 256
"""Items that one worker is given at a time."""
MOST_CACHED = 1_000_000
MOST_LOST: Mapping[str, int] = {"timed_out": 3, "crashed": 100}
"""Workers that single items of one call may cost, by how they end: a deadline or a new start each.
After as many, what is left of the items that are asked for alone goes unrated."""

_RAISED = math.inf

_log = logging.getLogger(__name__)


class ObjectivePool:
    """Rates items by an objective. A context manager; `close` ends the worker processes.

    Args:
        path: import path of the objective, `package.function` or `module:function`.
        workers: how many processes; 0: the cores that this process may run on.
        deadline_seconds: how long `PIECE` items may take.

    Attributes:
        calls: items that the objective was asked for. An item counts once in a call of the pool,
            however often a failure has it asked again; what crashed or hung, in a later call too.

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
        """float32 [n]: the rating of every item (hashable), NaN where there is none.

        Items on which the objective raises or that it cannot rate are not asked for again. Those
        that cost a worker are, the next time they come.
        """
        new = [item for item in dict.fromkeys(items) if item not in self._cache]
        if len(self._cache) + len(new) > MOST_CACHED:
            self._cache.clear()
            new = list(dict.fromkeys(items))
        size = max(1, min(PIECE, math.ceil(len(new) / self._pool.workers)))
        pieces = [new[start : start + size] for start in range(0, len(new), size)]
        self._rate_alone(self._rate(pieces))
        self.calls += len(new)
        return np.array([self._cache.get(item, math.nan) for item in items], np.float32)

    def _rate(self, pieces: Sequence[list[Any]]) -> list[Any]:
        """Rates pieces, and what the objective raises on in halves, down to single items.

        Returns:
            The items of all longer pieces that cost their worker.
        """
        lost: list[Any] = []
        waiting = deque((piece, self._pool.measure(piece)) for piece in pieces)
        while waiting:
            piece, future = waiting.popleft()
            found = future.result()[self._path]
            kept = self._keep(piece, found)
            if len(piece) == 1:
                continue
            if not kept:
                lost += piece
            elif found == _RAISED:
                middle = len(piece) // 2
                halves = piece[:middle], piece[middle:]
                waiting.extend((half, self._pool.measure(half)) for half in halves)
        return lost

    def _rate_alone(self, items: Sequence[Any]) -> None:
        """Rates items one by one, until too many of them have cost a worker."""
        before, unrated, gives_up = self._pool.counts, 0, False
        # Not in halves: on the way down to the one that hangs, each would take the deadline.
        futures = [self._pool.measure([item]) for item in items]
        for item, future in zip(items, futures, strict=True):
            counts = self._pool.counts
            too_many = any(counts[end] - before[end] >= most for end, most in MOST_LOST.items())
            if too_many and not gives_up:
                gives_up = True
                # All at once: while one is waited for, a worker takes the next.
                unrated = sum(waiting.cancel() for waiting in futures)
            if not future.cancelled():
                self._keep([item], future.result()[self._path])
        if unrated:
            _log.warning(
                "%s crashes or hangs on too many items: %d go unrated until they come again",
                self._path,
                unrated,
            )

    def _keep(self, piece: list[Any], found: list[float] | float) -> bool:
        """Caches what was found for a piece; whether its worker lived to tell."""
        if isinstance(found, list):
            ratings = [value if math.isfinite(value) else math.nan for value in found]
            self._cache.update(zip(piece, ratings, strict=True))
        elif found == _RAISED:
            if not self._pool.counts["failed"]:
                # Once more and not caught, so that the pool says what it raises.
                self._pool.measure(piece, True).result()
            if len(piece) == 1:
                self._cache[piece[0]] = math.nan
        return isinstance(found, list) or found == _RAISED

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()


def load_objective(path: str) -> Callable[..., list[float] | float]:
    """The objective at an import path, for a worker: (items, raises=False) -> ratings.

    Infinity is an item without a rating. Infinity in place of the list says that the objective
    raised, or gave no list of as many numbers; with `raises` that is raised. There never is a NaN:
    it is what the pool gives for a worker that it lost.

    Raises:
        UserError: there is none, or it cannot be called.
    """
    found = import_path(path, "objective")
    if not callable(found):
        raise UserError(f"objective: '{path}' cannot be called with a list of items")

    def rate(items: list[Any], raises: bool = False) -> list[float] | float:
        try:
            ratings = _checked(found(items), len(items))
        except (Exception, SystemExit):
            if raises:
                raise
            return _RAISED
        return [value if math.isfinite(value) else math.inf for value in ratings]

    return rate


def _checked(ratings: Any, count: int) -> list[float]:
    if isinstance(ratings, str):
        raise TypeError(f"a string for {count} items, not a list of ratings")
    numbers = [float(value) for value in ratings]
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} ratings for {count} items")
    return numbers
