"""A worker process of a pool: it evaluates one task at a time, isolated from crashes and hangs.

The worker is a fresh Python interpreter, neither a fork nor a second import of the main module, so
it loads its measures but not jax or the training script. `WorkerProcess` is the parent's side and
`main` the child's. They exchange pickles over a socket, with a time limit in both directions.
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

from jaxgan.core.importing import import_path, one_line
from jaxgan.scores.registry import get

START_SECONDS = 120.0
"""Time limit for loading the measures: a user's score may import a large library."""

_ENVIRONMENT = {
    # A score that loads its own array library must leave the accelerators to the parent ...
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TPU_VISIBLE_DEVICES": "",
    # ... and use one core per worker.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

Reply = tuple[str, Any]
"""("ready", None), ("scored", value), ("unscorable", NaN) or ("failed", error message)."""


class WorkerStartError(Exception):
    """Raised when a worker cannot load its measures; the message gives the reason."""


class WorkerProcess:
    """The parent's handle of one worker process.

    The constructor starts the process and returns immediately; `wait_until_ready` waits until the
    measures are loaded.

    Args:
        names: names of the measures.
        load: import path of the function that creates a measure in the worker: (name, *options) ->
            a function of a task's arguments that returns a float or a list of floats.
        options: further arguments of `load`, Python literals.
        deadline_seconds: time limit for one measure of one task.
    """

    def __init__(
        self, names: Sequence[str], load: str, options: tuple[Any, ...], deadline_seconds: float
    ):
        # The parent enforces the deadline; the child's own limit applies if the parent has died.
        limit_seconds = 2.0 * deadline_seconds
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _script(child.fileno(), names, load, options, limit_seconds),
                ],
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                process_group=0,  # the terminal's Ctrl-C is for the parent
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
        """Returns whether the process is still running."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Blocks until the measures are loaded.

        Raises:
            WorkerStartError: loading failed, took longer than START_SECONDS, or the process died.
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

    def send(self, names: Sequence[str], arguments: tuple[Any, ...]) -> None:
        """Sends one task; `receive` then returns one reply per measure, in the order of `names`.

        Raises:
            TimeoutError: the worker did not read the task within the deadline.
            OSError: the worker has died.
        """
        self._socket.settimeout(self._deadline_seconds)
        task = (tuple(names), arguments)
        self._socket.sendall(pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Reply:
        """Returns the next reply.

        Raises:
            TimeoutError: no reply arrived within the deadline.
            EOFError, OSError, pickle.UnpicklingError: the worker has died.
        """
        return self._receive(self._deadline_seconds)

    def kill(self) -> None:
        """Kills the process. May be called from any thread and more than once."""
        self._process.kill()

    def close(self) -> int:
        """Kills the process, closes the socket and returns the exit status."""
        self._process.kill()
        status = self._process.wait()
        self._replies.close()
        self._socket.close()
        return status

    def _receive(self, seconds: float) -> Reply:
        self._socket.settimeout(seconds)
        return pickle.load(self._replies)


def load_score(name: str, sample_rate: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """Returns the score of this name, prepared, for pairs at `sample_rate` Hz; see `get`."""
    score = get(name)
    if score.prepare:
        score.prepare()
    return functools.partial(score, sample_rate=sample_rate)


def _script(
    descriptor: int,
    names: Sequence[str],
    load: str,
    options: tuple[Any, ...],
    limit_seconds: float,
) -> str:
    # A scheduler's SIGTERM reaches all processes, but the parent handles it: it may still need the
    # scores of the current step.
    # Use the parent's sys.path: a user's score may be a module next to the training script.
    return (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
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
    """Serves tasks in the worker process until the parent closes the socket or dies.

    Args:
        descriptor: file descriptor of the worker's end of the socket.
        names: see `WorkerProcess`.
        load: see `WorkerProcess`.
        options: see `WorkerProcess`.
        limit_seconds: time after which one measure of one task kills this process.
    """
    # Output printed by a score must not mix with the parent's standard output.
    os.dup2(2, 1)
    try:
        # Closing the stream writes what the parent did not read, so that may raise as well.
        with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
            _serve(stream, names, load, options, limit_seconds)
    except (EOFError, OSError, pickle.UnpicklingError):
        return


def _serve(
    stream: Any, names: Sequence[str], load: str, options: tuple[Any, ...], limit_seconds: float
) -> None:
    try:
        load_measure = import_path(load)
        measures = {name: load_measure(name, *options) for name in names}
    except BaseException as error:
        _reply(stream, ("failed", one_line(error)))
        return
    _reply(stream, ("ready", None))
    while True:
        wanted, arguments = pickle.load(stream)
        for name in wanted:
            # Without a handler the alarm kills the process, even inside C code that never returns.
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
