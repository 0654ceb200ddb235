"""Ctrl-C and SIGTERM: how a command stops, and how a training run stops after its round."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

STOPPED = "stopped at once; the same command continues from the last checkpoint"
INTERRUPTED = 130
"""The exit status after Ctrl-C or SIGTERM."""
NUMBERS = (signal.SIGINT, signal.SIGTERM)
_STANDARD_ERROR = 2
_AGAIN_SECONDS = 0.05
_SAME_REQUEST_SECONDS = 1.0
"""Signals within this time count as one: a launcher may forward a signal that the terminal has also
sent to the program itself."""


@contextlib.contextmanager
def raised(stopped: str) -> Iterator[None]:
    """Makes SIGINT and SIGTERM raise KeyboardInterrupt in the block, and never get lost there.

    Python drops an exception that a signal handler raises during a callback of the garbage
    collector or a destructor, after a report on standard error. This drops the report and raises
    the exception again. Imports catch exceptions of all kinds, and there is nothing to clean up
    then, so a signal during an import ends the process immediately, with status 130. So does a
    second signal, while the block cleans up.

    Python delivers signals to the main thread, so in any other thread this does nothing.

    Args:
        stopped: the message if the process ends immediately.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    report = sys.unraisablehook
    first: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        before, now = first, time.monotonic()
        if before is not None and now - before < _SAME_REQUEST_SECONDS:
            return
        first = now
        if before is not None or _imports(frame):
            _leave(stopped)
        raise KeyboardInterrupt

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        nonlocal first
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            first = None
            # To the main thread, which may wait in a call of the operating system.
            signalled = (threading.main_thread().ident, signal.SIGINT)
            again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, signalled)
            again.daemon = True
            again.start()
        else:
            report(unraisable)

    with _handled(handle):
        sys.unraisablehook = hook
        try:
            yield
        finally:
            sys.unraisablehook = report


def leave_at_once(stopped: str) -> None:
    """Makes SIGINT and SIGTERM end the process with a message and status 130.

    This is for a module that is run as a program: its imports take a while, and `raised` only
    begins after them.
    """

    for number in NUMBERS:
        signal.signal(number, lambda *_: _leave(stopped))


@contextlib.contextmanager
def _handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handles SIGINT and SIGTERM by `handle` in the block, which the main thread must run."""
    before = [signal.signal(number, handle) for number in NUMBERS]
    try:
        yield
    finally:
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)


def _leave(message: str) -> NoReturn:
    """Ends the process with a message and status 130, without running anything else."""
    # sys.stderr must not be used here: the signal may have interrupted a write to it.
    os.write(_STANDARD_ERROR, f"{message}\n".encode())
    os._exit(INTERRUPTED)


def _imports(frame: FrameType | None) -> bool:
    """Returns whether a frame or one of its callers is Python's import system."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Stop:
    """Whether the user has asked the run to end.

    Attributes:
        requested: the name of the first signal, or None.
    """

    def __init__(self) -> None:
        self.requested: str | None = None


@contextlib.contextmanager
def listen(reply: Callable[[str], str]) -> Iterator[Stop]:
    """Records the first SIGINT or SIGTERM in the block and answers it on standard error.

    A run can only be resumed between rounds, so it ends after the current round. A second signal
    ends the process immediately, with status 130; this loses the rounds since the last checkpoint.
    An exception would not do: it would have to pass through compiled programs that call the host.

    Python delivers signals to the main thread, so in any other thread this does nothing.

    Args:
        reply: maps the name of the first signal to the answer.
    """
    stop = Stop()
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not stop.requested:
            first = time.monotonic()
            stop.requested = signal.Signals(number).name
            # Not by sys.stderr; see `_leave`.
            os.write(_STANDARD_ERROR, f"\n{reply(stop.requested)}\n".encode())
        elif time.monotonic() - first > _SAME_REQUEST_SECONDS:
            # The progress bar hides the cursor of a terminal.
            shown = "\x1b[?25h" if os.isatty(_STANDARD_ERROR) else ""
            _leave(f"{shown}\n{STOPPED}")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with _handled(handle):
        yield stop
