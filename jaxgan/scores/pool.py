"""Measures of many things at once in worker processes, whatever the measures do.

Processes, because a score in C such as PESQ holds Python's lock and keeps its state in globals.
One process to each thread here, with a socket of its own: a worker that dies or hangs takes
nothing with it but the task it was at. `WorkerPool` knows nothing of what is measured; `ScorePool`
scores pairs of waveforms.
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
"""What measures gave for one task, by name: a float each, or a list of floats; NaN for none."""

OUTCOMES = ("scored", "unscorable", "failed", "crashed", "timed_out")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Task:
    names: tuple[str, ...]
    arguments: tuple[Any, ...]
    future: "concurrent.futures.Future[Values]"


class WorkerPool:
    """Worker processes that measure. A context manager; `close` ends the processes.

    The workers start when the pool is made, so make it early. What happens to one task:
    scored; unscorable (NaN); failed (the measure raised); crashed (its process died);
    timed_out (its process was ended). All but the first give NaN, are counted in `counts`, and
    the first of each kind but unscorable is logged as a warning. Nothing is raised.

    Safe to use from several threads.

    Args:
        names: of the measures; every worker can compute all of them.
        load: import path of what gives a measure in a worker, see `WorkerProcess`.
        options: for it.
        workers: how many processes; 0: the cores that this process may run on.
        deadline_seconds: how long one measure of one task may take once begun.

    Raises:
        UserError: a number is out of range.
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
                f"scoring.deadline_seconds: must be seconds above 0, not {deadline_seconds}"
            )
        self.names = tuple(dict.fromkeys(names))
        self.workers = workers or available_cores()
        self._start = functools.partial(WorkerProcess, self.names, load, options, deadline_seconds)
        self._deadline_seconds = deadline_seconds
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._counts: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._lanes = [_Lane(self) for _ in range(self.workers)]
        for lane in self._lanes:
            lane.start()

    def __enter__(self) -> Self:  # noqa: D105
        return self

    def __exit__(self, *_: object) -> None:  # noqa: D105
        self.close()

    @property
    def counts(self) -> dict[str, int]:
        """How many scores ended in each of OUTCOMES since the pool was made."""
        with self._lock:
            return {outcome: self._counts[outcome] for outcome in OUTCOMES}

    @property
    def process_ids(self) -> list[int]:
        """The worker processes that run now."""
        workers = [lane.worker for lane in self._lanes]
        return [worker.process_id for worker in workers if worker and worker.is_alive()]

    def wait_until_ready(self) -> None:
        """Blocks until every worker has loaded its measures.

        Raises:
            UserError: one could not; the message says why.
        """
        for lane in self._lanes:
            reason = lane.first_start.result()
            if reason:
                names = ", ".join(self.names)
                raise UserError(f"score: a worker process cannot load {names}: {reason}")

    def measure(
        self, *arguments: Any, names: Sequence[str] | None = None
    ) -> "concurrent.futures.Future[Values]":
        """Queues one task and returns at once; the future's result is never an exception.

        Args:
            arguments: what the measures are called with; must not change until the future is done.
            names: some of the pool's measures; None: all of them.

        Raises:
            ValueError: a name that is not the pool's.
        """
        wanted = self.names if names is None else tuple(names)
        unknown = set(wanted) - set(self.names)
        if unknown:
            raise ValueError(f"this pool has {self.names}, not {unknown}")
        future: concurrent.futures.Future[Values] = concurrent.futures.Future()
        with self._lock:
            if self._closed:
                future.set_result(dict.fromkeys(wanted, math.nan))
            else:
                self._tasks.put(_Task(wanted, arguments, future))
        return future

    def close(self) -> None:
        """Ends the workers. What is still queued or being scored becomes NaN, uncounted."""
        with self._lock:
            self._closed = True
            for lane in self._lanes:
                if lane.worker:
                    lane.worker.kill()
        for _ in self._lanes:
            self._tasks.put(None)
        for lane in self._lanes:
            lane.join()

    def _count(self, outcome: str, score: str, detail: object = "") -> None:
        with self._lock:
            if self._closed:
                return
            self._counts[outcome] += 1
            is_news = outcome not in ("scored", "unscorable", *self._warned)
            self._warned.add(outcome)
        if is_news:
            _log.warning(
                "%s %s on one, which counts as unscorable: %s (said once; counted after)",
                *(score, outcome.replace("_", " "), detail),
            )


class ScorePool(WorkerPool):
    """Worker processes that score pairs of waveforms, see `WorkerPool` and `Score`.

    Args:
        scores: names or import paths, see `get`; every worker can compute all of them.
        sample_rate: of all pairs, in Hz.
        workers: how many processes; 0: the cores that this process may run on.
        deadline_seconds: how long one score of one pair may take once begun.

    Raises:
        UserError: a score is unknown, or a number is out of range.
    """

    def __init__(
        self,
        scores: Sequence[str],
        sample_rate: int = 16000,
        workers: int = 0,
        deadline_seconds: float = 30.0,
    ):
        if not scores:
            raise UserError("score: name at least one")
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
        """Queues one pair and returns at once; the future's result is never an exception.

        Args:
            reference: int16 or floating [n]; must not change until the future is done.
            estimate: likewise; no samples on both sides (padding) give NaN and count nowhere.
            scores: some of the pool's; None: all of them.

        Raises:
            ValueError: a score that is not the pool's.
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
        """`submit` for every row, cut to its length.

        Args:
            reference: int16 or floating [B, T].
            estimate: likewise.
            lengths: integer [B], samples; 0 marks a padding row.
            scores: as in `submit`.
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


class _Lane(threading.Thread):
    """One thread with one worker: takes tasks from the pool's queue until the pool is closed."""

    def __init__(self, pool: WorkerPool):
        super().__init__(name="jaxgan-score", daemon=True)
        self.worker: WorkerProcess | None = None
        self.first_start: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._pool = pool

    def run(self) -> None:
        try:
            self._ready_worker()
            self.first_start.set_result("")
        except WorkerStartError as error:
            self.first_start.set_result(str(error))
        while (task := self._pool._tasks.get()) is not None:
            if task.future.set_running_or_notify_cancel():
                task.future.set_result(self._score(task))
        if self.worker:
            self.worker.close()

    def _score(self, task: _Task) -> Values:
        values = dict.fromkeys(task.names, math.nan)
        remaining = list(task.names)
        while remaining and not self._pool._closed:
            try:
                worker = self._ready_worker()
                worker.begin(remaining, task.arguments)
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
                limit = f"not done after {self._pool._deadline_seconds} s"
                self._pool._count("timed_out", remaining.pop(0), limit)
            except Exception:
                status = self._drop_worker()
                self._pool._count("crashed", remaining.pop(0), f"process status {status}")
        return values

    def _ready_worker(self) -> WorkerProcess:
        """The lane's worker, or a new one where that has died between two tasks."""
        if self.worker and self.worker.is_alive():
            return self.worker
        self._drop_worker()
        pool = self._pool
        with pool._lock:
            if pool._closed:
                raise WorkerStartError("the pool is closed")
            try:
                worker = pool._start()
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
        """Ends the worker, if there is one; the status that its process ended with."""
        worker, self.worker = self.worker, None
        return worker.close() if worker else None


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
