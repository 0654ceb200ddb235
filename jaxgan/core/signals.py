"""Ctrl-C and SIGTERM: the first one ends a run after its round, the second one at once."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

STOPPED = "stopped at once; the same command continues from the last checkpoint"
_STANDARD_ERROR = 2
_SAME_REQUEST_SECONDS = 1.0
"""Signals within this time count as one: a launcher may forward a signal that the terminal has also
sent to the program itself."""


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
            # sys.stderr must not be used here: the signal may have interrupted a write to it.
            os.write(_STANDARD_ERROR, f"\n{reply(stop.requested)}\n".encode())
        elif time.monotonic() - first > _SAME_REQUEST_SECONDS:
            # The progress bar hides the cursor of a terminal.
            shown = "\x1b[?25h" if os.isatty(_STANDARD_ERROR) else ""
            os.write(_STANDARD_ERROR, f"{shown}\n{STOPPED}\n".encode())
            os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
