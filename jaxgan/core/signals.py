"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second stops at once."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

STOPPED = "stopped at once; the same command goes on from the last checkpoint"
_STANDARD_ERROR = 2
_SAME = 1.0
"""Seconds within which signals count as one: launchers pass on what the terminal sent as well."""


class Stop:
    """Whether somebody asked the run to end.

    Attributes:
        requested: the name of the first signal that came, or None.
    """

    def __init__(self) -> None:
        self.requested: str | None = None


@contextlib.contextmanager
def listen(reply: Callable[[str], str]) -> Iterator[Stop]:
    """Inside the block the first SIGINT or SIGTERM is noted and answered on standard error.

    A later one ends the process where it stands, with status 130: an exception would have to pass
    through compiled programs that call the host. A round cannot be resumed in its middle, so an
    orderly end is the end of the round in flight; who cannot wait sends the second signal and loses
    what came after the last checkpoint, and nothing else.

    Signals reach the main thread alone: in any other thread this listens to nothing.

    Args:
        reply: the name of the first signal -> what to tell.
    """
    stop = Stop()
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not stop.requested:
            first = time.monotonic()
            stop.requested = signal.Signals(number).name
            # Buffered streams may be in the middle of a write, where they cannot be used again.
            os.write(_STANDARD_ERROR, f"\n{reply(stop.requested)}\n".encode())
        elif time.monotonic() - first > _SAME:
            # The progress bar has hidden a terminal's cursor.
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
