"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second stops at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Stop:
    """Whether somebody asked the run to end.

    Attributes:
        requested: the name of the first signal that came, or None.
    """

    def __init__(self) -> None:
        self.requested: str | None = None


@contextlib.contextmanager
def listen(on_request: Callable[[str], None]) -> Iterator[Stop]:
    """Inside the block the first SIGINT or SIGTERM is noted and told to `on_request`.

    A second one raises KeyboardInterrupt where the program stands. A round cannot be resumed in its
    middle, so an orderly end is the end of the round in flight; who cannot wait sends the second
    signal and loses what came after the last checkpoint, and nothing else.

    Signals reach the main thread alone: in any other thread this listens to nothing.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = signal.Signals(number).name
        on_request(stop.requested)

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
