"""The process behind a pool: measures one task at a time, and may crash or hang alone.

A fresh interpreter, not a fork and not a copy of the main module: it loads what it measures with,
neither jax nor the training script. `main` is the child's side, WorkerProcess the parent's. They
talk over a socket, in pickles, with a time limit on both ways.
"""

import functools
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgan.scores.registry import get, import_path, one_line

START_SECONDS = 120.0
"""How long a worker may take to load its measures; a user's may load a large library."""

_ENVIRONMENT = {
    # A score that loads an array library of its own leaves the accelerators to the parent ...
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TPU_VISIBLE_DEVICES": "",
    # ... and one core to each worker.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

Reply = tuple[str, Any]
"""("scored", value), ("unscorable", NaN) or ("failed", what was raised)."""


class WorkerStartError(Exception):
    """A worker could not load its measures; the message says why."""


class WorkerProcess:
    """The parent's handle on one worker.

    Starts the process and returns at once; `wait_until_ready` says when its measures are loaded.

    Args:
        names: of the measures.
        load: import path of what gives a measure in the process: (name, *options) -> a function of
            a task's arguments that returns a float, or a list of floats.
        options: plain values.
        deadline_seconds: how long one measure of one task may take.
    """

    def __init__(
        self, names: Sequence[str], load: str, options: tuple[Any, ...], deadline_seconds: float
    ):
        # The parent ends what takes too long; this second limit is for a parent that is gone.
        limit = 2.0 * deadline_seconds
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _script(child.fileno(), names, load, options, limit)],
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                pass_fds=(child.fileno(),),
            )
        self._socket = parent
        self._replies = parent.makefile("rb")
        self._deadline_seconds = deadline_seconds
        self._started = time.monotonic()

    @property
    def process_id(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Blocks until the measures are loaded.

        Raises:
            WorkerStartError: they could not be.
        """
        try:
            remaining = self._started + START_SECONDS - time.monotonic()
            kind, detail = self._receive(max(remaining, 0.001))
        except TimeoutError as error:
            raise WorkerStartError(f"not ready after {START_SECONDS:.0f} s") from error
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            status = self._process.wait()
            raise WorkerStartError(f"the process ended with status {status}") from error
        if kind != "ready":
            raise WorkerStartError(detail)

    def begin(self, names: Sequence[str], arguments: tuple[Any, ...]) -> None:
        """Sends one task; then `receive` gives one reply for each of the measures, in order.

        Raises:
            TimeoutError: the worker did not take it in time.
            OSError: the worker has died.
        """
        self._socket.settimeout(self._deadline_seconds)
        task = (tuple(names), arguments)
        self._socket.sendall(pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Reply:
        """The next reply.

        Raises:
            TimeoutError: there was none within the deadline.
            EOFError, OSError, pickle.UnpicklingError: the worker has died.
        """
        return self._receive(self._deadline_seconds)

    def kill(self) -> None:
        """Ends the process, whatever it is doing; from any thread, any number of times."""
        self._process.kill()

    def close(self) -> int:
        """Ends the process, frees what the handle holds, and returns the exit status."""
        self._process.kill()
        status = self._process.wait()
        self._replies.close()
        self._socket.close()
        return status

    def _receive(self, seconds: float) -> Reply:
        self._socket.settimeout(seconds)
        return pickle.load(self._replies)


def load_score(name: str, sample_rate: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """A score (see `get`) as a measure of pairs at this rate in Hz."""
    return functools.partial(get(name), sample_rate=sample_rate)


def _script(
    descriptor: int,
    names: Sequence[str],
    load: str,
    options: tuple[Any, ...],
    limit_seconds: float,
) -> str:
    # The parent's sys.path as it is now: a user's score may lie beside the script that runs.
    return (
        f"import sys; sys.path[:] = {sys.path!r}; from jaxgan.scores.worker import main; "
        f"main({descriptor}, {tuple(names)!r}, {load!r}, {options!r}, {limit_seconds})"
    )


def main(
    descriptor: int,
    names: Sequence[str],
    load: str,
    options: tuple[Any, ...],
    limit_seconds: float,
) -> None:
    """Runs in the worker until the parent closes its end of the socket, or is gone."""
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the parent decides what to
    # do about them, and may want the scores of the step in flight first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What a score prints must not mix with what the parent writes to its standard output.
    os.dup2(2, 1)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        try:
            _serve(stream, names, load, options, limit_seconds)
        except (EOFError, OSError, pickle.UnpicklingError):
            return


def _serve(
    stream: Any, names: Sequence[str], load: str, options: tuple[Any, ...], limit_seconds: float
) -> None:
    try:
        loaded = import_path(load)
        measures = {name: loaded(name, *options) for name in names}
    except BaseException as error:
        _reply(stream, ("failed", one_line(error)))
        return
    _reply(stream, ("ready", None))
    while True:
        wanted, arguments = pickle.load(stream)
        for name in wanted:
            # The default action of this alarm is the kernel's: it ends C code that never returns.
            signal.setitimer(signal.ITIMER_REAL, limit_seconds)
            reply = _attempt(measures[name], arguments)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            _reply(stream, reply)


def _attempt(measure: Callable[..., Any], arguments: tuple[Any, ...]) -> Reply:
    try:
        value = measure(*arguments)
    except BaseException as error:
        return "failed", one_line(error)
    return ("unscorable" if np.isnan(value).all() else "scored"), value


def _reply(stream: Any, reply: Reply) -> None:
    stream.write(pickle.dumps(reply))
    stream.flush()
