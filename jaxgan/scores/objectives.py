"""Rates items by an objective, a user's Python function, in worker processes.

An objective is `reward_fn(items) -> numbers`: it takes a list and returns one number per item,
about 0 to 1, higher is better, NaN for an item that it cannot rate. Ratings are cached, so they
must depend on nothing but the item. An objective that raises, crashes or hangs does not stop a run:
it is called again with shorter lists, and an item on which it fails by itself is rated NaN. Other
items stay unrated (NaN until they are requested again) only after too many workers were lost, see
`WORKER_LOSS_LIMITS`.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path
from jaxgan.scores.pool import WorkerPool

Objective = Callable[[list[Any]], Sequence[float]]

CHUNK_SIZE = 256
"""The largest number of items that a worker rates in one task."""
CACHE_LIMIT = 1_000_000
"""The cache is emptied before it exceeds this number of items."""
WORKER_LOSS_LIMITS: Mapping[str, int] = {"timed_out": 3, "crashed": 100}
"""How many workers one call may lose while it rates items one by one, by outcome.

A time-out costs a deadline, a crash only a restart. Once a limit is reached, the remaining items
stay unrated.
"""

_RAISED = math.inf

_log = logging.getLogger(__name__)


class ObjectivePool:
    """Rates items by an objective. A context manager; `close` ends the worker processes.

    Args:
        path: import path of the objective, `package.function` or `module:function`.
        workers: number of processes; 0 for one per core that this process may run on.
        deadline_seconds: time limit for `CHUNK_SIZE` items.

    Attributes:
        calls: the number of items that the objective was asked to rate. Retries within one call of
            the pool do not count; an item that crashed or hung counts again in a later call.

    Raises:
        UserError: there is no such function, a worker cannot load it, or a number is out of range.
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
        """Returns the ratings of hashable items, float32 [n], NaN for items without a rating.

        An item that the objective raises on or cannot rate stays NaN. An item that crashed or hung
        a worker is tried again in the next call that contains it.
        """
        new = [item for item in dict.fromkeys(items) if item not in self._cache]
        if len(self._cache) + len(new) > CACHE_LIMIT:
            self._cache.clear()
            new = list(dict.fromkeys(items))
        size = max(1, min(CHUNK_SIZE, math.ceil(len(new) / self._pool.workers)))
        chunks = [new[start : start + size] for start in range(0, len(new), size)]
        self._rate_one_by_one(self._rate(chunks))
        self.calls += len(new)
        return np.array([self._cache.get(item, math.nan) for item in items], np.float32)

    def _rate(self, chunks: Sequence[list[Any]]) -> list[Any]:
        """Rates chunks, halving those on which the objective raises, down to single items.

        Returns:
            The items of all chunks of more than one item that lost their worker.
        """
        lost: list[Any] = []
        pending = deque((chunk, self._pool.measure(chunk)) for chunk in chunks)
        while pending:
            chunk, future = pending.popleft()
            result = future.result()[self._path]
            worker_survived = self._store(chunk, result)
            if len(chunk) == 1:
                continue
            if not worker_survived:
                lost += chunk
            elif result == _RAISED:
                middle = len(chunk) // 2
                halves = chunk[:middle], chunk[middle:]
                pending.extend((half, self._pool.measure(half)) for half in halves)
        return lost

    def _rate_one_by_one(self, items: Sequence[Any]) -> None:
        """Rates items one by one, until too many workers are lost."""
        before, unrated, gave_up = self._pool.counts, 0, False
        # Halving would take one deadline for each half that contains an item that hangs.
        futures = [self._pool.measure([item]) for item in items]
        for item, future in zip(items, futures, strict=True):
            counts = self._pool.counts
            too_many_lost = any(
                counts[outcome] - before[outcome] >= limit
                for outcome, limit in WORKER_LOSS_LIMITS.items()
            )
            if too_many_lost and not gave_up:
                gave_up = True
                # Cancel all at once: a worker takes the next item while this loop waits for one.
                unrated = sum(waiting.cancel() for waiting in futures)
            if not future.cancelled():
                self._store([item], future.result()[self._path])
        if unrated:
            _log.warning(
                "%s crashes or hangs on too many items: %d stay unrated until requested again",
                self._path,
                unrated,
            )

    def _store(self, chunk: list[Any], result: list[float] | float) -> bool:
        """Caches the result of a chunk and returns whether its worker survived."""
        if isinstance(result, list):
            ratings = [value if math.isfinite(value) else math.nan for value in result]
            self._cache.update(zip(chunk, ratings, strict=True))
        elif result == _RAISED:
            if not self._pool.counts["failed"]:
                # Call it once more without catching, so that the pool logs the exception.
                self._pool.measure(chunk, True).result()
            if len(chunk) == 1:
                self._cache[chunk[0]] = math.nan
        return isinstance(result, list) or result == _RAISED

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()


def load_objective(path: str) -> Callable[..., list[float] | float]:
    """Returns the objective at an import path as a function (items, raises=False) -> ratings.

    Workers call it. In its result infinity stands for an item without a rating; infinity instead of
    the list means that the objective raised or did not return one number per item. With `raises`
    such an exception is raised instead. NaN is never used, because the pool returns it for a lost
    worker.

    Raises:
        UserError: there is no such object, or it cannot be called.
    """
    objective = import_path(path, "objective")
    if not callable(objective):
        raise UserError(f"objective: '{path}' cannot be called with a list of items")

    def rate(items: list[Any], raises: bool = False) -> list[float] | float:
        try:
            ratings = _check_ratings(objective(items), len(items))
        except (Exception, SystemExit):
            if raises:
                raise
            return _RAISED
        return [value if math.isfinite(value) else math.inf for value in ratings]

    return rate


def _check_ratings(ratings: Any, count: int) -> list[float]:
    if isinstance(ratings, str):
        raise TypeError(f"a string instead of a list of {count} ratings")
    numbers = [float(value) for value in ratings]
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} ratings for {count} items")
    return numbers
