"""Pools of worker processes that compute scores in parallel and survive crashes and hangs.

Scores written in C, such as PESQ, hold Python's global interpreter lock and keep state in global
variables, so threads do not suffice. Each thread of a pool owns one worker process and its socket:
a worker that dies or hangs affects only the task that it is working on. `WorkerPool` evaluates any
measures; `ScorePool` scores pairs of waveforms.
"""

import concurrent.futures
import dataclasses
import functools
import logging
import math
import os
import queue
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.scores.registry import get
from jaxgan.scores.worker import WorkerProcess, WorkerStartError

Values = dict[str, Any]
"""Results of one task by measure: a float or a list of floats each; NaN if there is none."""

OUTCOMES = ("scored", "unscorable", "failed", "crashed", "timed_out")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Task:
    names: tuple[str, ...]
    arguments: tuple[Any, ...]
    future: "concurrent.futures.Future[Values]"


class WorkerPool:
    """A pool of worker processes that evaluate measures. A context manager; `close` ends them.

    The constructor starts the workers, which load their measures in the background. A measure of a
    task ends as "scored", "unscorable" (it is NaN), "failed" (the measure raised), "crashed" (its
    process died, and so did the next one that was asked) or "timed_out" (its process was killed).
    Every outcome is counted in `counts`, and all but the first give NaN. The first failure, crash
    and time-out are logged as warnings, and no outcome raises.

    The methods may be called from several threads.

    Args:
        names: names of the measures; every worker loads all of them.
        load: import path of the function that creates a measure, see `WorkerProcess`.
        options: further arguments of `load`, Python literals.
        workers: number of processes; 0 for one per core that this process may run on.
        deadline_seconds: time limit for one measure of one task, from when a worker starts it.

    Raises:
        UserError: `workers` or `deadline_seconds` is out of range.
    """

    def __init__(
        self,
        names: Sequence[str],
        load: str,
        options: tuple[Any, ...] = (),
        workers: int = 0,
        deadline_seconds: float = 30.0,
    ):
        if workers < 0:
            raise UserError(f"scoring.workers: must be 0 (all cores) or more, not {workers}")
        if not (deadline_seconds > 0.0 and math.isfinite(deadline_seconds)):
            raise UserError(
                f"scoring.deadline_seconds: must be above 0 and finite, not {deadline_seconds}"
            )
        self.names = tuple(dict.fromkeys(names))
        self.workers = workers or available_cores()
        self._start_worker = functools.partial(
            WorkerProcess, self.names, load, options, deadline_seconds
        )
        self._deadline_seconds = deadline_seconds
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._counts: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [_WorkerThread(self) for _ in range(self.workers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:  # noqa: D105
        return self

    def __exit__(self, *_: object) -> None:  # noqa: D105
        self.close()

    @property
    def counts(self) -> dict[str, int]:
        """The number of scores with each of OUTCOMES since the pool was created."""
        with self._lock:
            return {outcome: self._counts[outcome] for outcome in OUTCOMES}

    @property
    def process_ids(self) -> list[int]:
        """The process ids of the workers that are running."""
        workers = [thread.worker for thread in self._threads]
        return [worker.process_id for worker in workers if worker and worker.is_alive()]

    def wait_until_ready(self) -> None:
        """Blocks until every worker has loaded its measures.

        Raises:
            UserError: a worker cannot load them; the message gives the reason.
        """
        for thread in self._threads:
            reason = thread.start_error.result()
            if reason:
                names = ", ".join(self.names)
                raise UserError(f"score: a worker process cannot load {names}: {reason}")

    def measure(
        self, *arguments: Any, names: Sequence[str] | None = None
    ) -> "concurrent.futures.Future[Values]":
        """Queues one task and returns a future of its values immediately; the future never raises.

        Args:
            arguments: arguments of the measures; must not change until the future is done.
            names: names of the measures to evaluate; None for all of the pool's.

        Raises:
            ValueError: a name is not one of the pool's.
        """
        wanted = self.names if names is None else tuple(names)
        unknown = set(wanted) - set(self.names)
        if unknown:
            raise ValueError(f"this pool has {self.names}, but not {unknown}")
        future: concurrent.futures.Future[Values] = concurrent.futures.Future()
        with self._lock:
            if self._closed:
                future.set_result(dict.fromkeys(wanted, math.nan))
            else:
                self._tasks.put(_Task(wanted, arguments, future))
        return future

    def close(self) -> None:
        """Kills the workers. Unfinished tasks give NaN and are not counted."""
        with self._lock:
            self._closed = True
            for thread in self._threads:
                if thread.worker:
                    thread.worker.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _count(self, outcome: str, score: str, detail: object = "") -> None:
        with self._lock:
            if self._closed:
                return
            self._counts[outcome] += 1
            is_new = outcome not in ("scored", "unscorable", *self._warned)
            self._warned.add(outcome)
        if is_new:
            _log.warning(
                "%s %s on an item, which counts as unscorable: %s (logged once, then only counted)",
                *(score, outcome.replace("_", " "), detail),
            )


class ScorePool(WorkerPool):
    """A pool of worker processes that score pairs of waveforms, see `WorkerPool` and `Score`.

    Args:
        scores: names or import paths of the scores, see `get`; every worker loads all of them.
        sample_rate: sample rate of all pairs in Hz.
        workers: number of processes; 0 for one per core that this process may run on.
        deadline_seconds: time limit for one score of one pair, from when a worker starts it.

    Raises:
        UserError: there is no score, a score is unknown, or a number is out of range.
    """

    def __init__(
        self,
        scores: Sequence[str],
        sample_rate: int = 16000,
        workers: int = 0,
        deadline_seconds: float = 30.0,
    ):
        if not scores:
            raise UserError("score: give at least one name")
        for name in scores:
            get(name)
        load = "jaxgan.scores.worker:load_score"
        super().__init__(scores, load, (sample_rate,), workers, deadline_seconds)
        self.scores = self.names

    def submit(
        self,
        reference: np.ndarray,
        estimate: np.ndarray,
        scores: Sequence[str] | None = None,
    ) -> "concurrent.futures.Future[Values]":
        """Queues one pair and returns a future of its scores immediately; the future never raises.

        A pair without any samples (a padding row) gives NaN and is not counted.

        Args:
            reference: int16 or floating [n]; must not change until the future is done.
            estimate: int16 or floating [n]; must not change either.
            scores: the scores to compute; None for all of the pool's.

        Raises:
            ValueError: a score is not one of the pool's.
        """
        wanted = self.scores if scores is None else tuple(scores)
        if len(reference) or len(estimate) or set(wanted) - set(self.scores):
            return self.measure(reference, estimate, names=wanted)
        future: concurrent.futures.Future[Values] = concurrent.futures.Future()
        future.set_result(dict.fromkeys(wanted, math.nan))
        return future

    def submit_batch(
        self,
        reference: np.ndarray,
        estimate: np.ndarray,
        lengths: np.ndarray,
        scores: Sequence[str] | None = None,
    ) -> "list[concurrent.futures.Future[Values]]":
        """Queues every row, cut to its length, and returns one future per row; see `submit`.

        Args:
            reference: int16 or floating [B, T].
            estimate: int16 or floating [B, T].
            lengths: integer [B], samples; 0 marks a padding row.
            scores: the scores to compute; None for all of the pool's.

        Raises:
            ValueError: a score is not one of the pool's.
        """
        rows = zip(reference, estimate, lengths, strict=True)
        return [self.submit(clean[:n], other[:n], scores) for clean, other, n in rows]

    def score_batch(
        self,
        reference: np.ndarray,
        estimate: np.ndarray,
        lengths: np.ndarray,
        scores: Sequence[str] | None = None,
        deadline_seconds: float = math.inf,
    ) -> np.ndarray:
        """Returns raw scores float32 [B, S], NaN for a pair without a score.

        Waits until all scores are there, or until the deadline, when the rows that are not done
        become NaN. They count as timed out.

        Args:
            reference: int16 or floating [B, T].
            estimate: like `reference`.
            lengths: integer [B], samples; 0 marks a padding row.
            scores: S of the pool's scores; None: all of them.
            deadline_seconds: for the whole batch.

        Raises:
            ValueError: a score is not one of the pool's.
        """
        names = self.scores if scores is None else tuple(scores)
        futures = self.submit_batch(reference, estimate, lengths, names)
        concurrent.futures.wait(futures, None if deadline_seconds == math.inf else deadline_seconds)
        values = np.full((len(futures), len(names)), np.nan, np.float32)
        for row, future in enumerate(futures):
            if future.done():
                values[row] = [future.result()[name] for name in names]
            else:
                # This has no effect on a task that is running; it ends at its own deadline.
                future.cancel()
                self._count("timed_out", names[0], f"not done after {deadline_seconds} s")
        return values


class _WorkerThread(threading.Thread):
    """A thread with one worker process: takes tasks from the pool's queue until the pool closes.

    Attributes:
        worker: the worker process; None before the first start and after a crash.
        start_error: why the worker could not start at first; empty if it could.
    """

    def __init__(self, pool: WorkerPool):
        super().__init__(name="jaxgan-score", daemon=True)
        self.worker: WorkerProcess | None = None
        self.start_error: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._pool = pool

    def run(self) -> None:
        try:
            self._ready_worker()
            self.start_error.set_result("")
        except WorkerStartError as error:
            self.start_error.set_result(str(error))
        while (task := self._pool._tasks.get()) is not None:
            if task.future.set_running_or_notify_cancel():
                task.future.set_result(self._score(task))
        if self.worker:
            self.worker.close()

    def _score(self, task: _Task) -> Values:
        values = dict.fromkeys(task.names, math.nan)
        remaining = list(task.names)
        asked_again = set()
        while remaining and not self._pool._closed:
            try:
                worker = self._ready_worker()
                worker.send(remaining, task.arguments)
                while remaining:
                    outcome, value = worker.receive()
                    name = remaining.pop(0)
                    self._pool._count(outcome, name, value)
                    values[name] = value if outcome == "scored" else math.nan
            except WorkerStartError as error:
                for name in remaining:
                    self._pool._count("crashed", name, error)
                break
            except TimeoutError:
                self._drop_worker()
                detail = f"not done after {self._pool._deadline_seconds} s"
                self._pool._count("timed_out", remaining.pop(0), detail)
            except Exception:
                status = self._drop_worker()
                # Something else may have killed the process, such as a lack of memory.
                if remaining[0] in asked_again:
                    self._pool._count("crashed", remaining.pop(0), f"exit status {status} twice")
                else:
                    asked_again.add(remaining[0])
        return values

    def _ready_worker(self) -> WorkerProcess:
        """Returns the worker, after starting a new one if there is none or it has died."""
        if self.worker and self.worker.is_alive():
            return self.worker
        self._drop_worker()
        pool = self._pool
        with pool._lock:
            if pool._closed:
                raise WorkerStartError("the pool is closed")
            try:
                worker = pool._start_worker()
            except OSError as error:
                raise WorkerStartError(str(error)) from error
            self.worker = worker
        try:
            worker.wait_until_ready()
        except WorkerStartError:
            self._drop_worker()
            raise
        return worker

    def _drop_worker(self) -> int | None:
        """Kills the worker, if there is one, and returns its exit status."""
        worker, self.worker = self.worker, None
        return worker.close() if worker else None


def available_cores() -> int:
    """Returns the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
