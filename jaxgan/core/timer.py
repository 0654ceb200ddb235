"""Measures where the wall time of a round goes, and how much of it is compilation."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import jax

WAITED = "/jaxgan/compile/waited"
"""The event of jax.monitoring for the seconds that a thread waited for a program to be compiled."""


class Timer:
    """Adds up the wall seconds that each named part of a round takes.

    Args:
        on_part: called with the name of a part when the part begins, for a progress display.
    """

    def __init__(self, on_part: Callable[[str], None] | None = None) -> None:
        self._seconds: dict[str, float] = {}
        self._on_part = on_part

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the seconds spent in the `with` block to the part `name`.

        This is the host's time: work that was dispatched to a device counts in the part in which
        the host waits for it.
        """
        if self._on_part:
            self._on_part(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """Returns the seconds by part since the last call."""
        seconds, self._seconds = self._seconds, {}
        return seconds


class Compilations:
    """Counts this process's compilations and their seconds, from jax's own events.

    Programs loaded from the persistent cache count, too. If there are compilations after the first
    rounds, shapes keep changing. The thread that creates this object is the one that trains.
    """

    _COMPILE = "/jax/core/compile/backend_compile_duration"
    _LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
    _TRACE = "/jax/core/compile/jaxpr_trace_duration"

    def __init__(self) -> None:
        self._count = 0
        self._seconds = 0.0
        self._thread = threading.get_ident()
        self._waits: list[tuple[float, float]] = []
        self._since = time.perf_counter()
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == self._COMPILE:
            self._count += 1
        if event in (self._COMPILE, self._LOWER):
            self._seconds += duration_secs
        blocking = event in (self._TRACE, self._LOWER, self._COMPILE, WAITED)
        if blocking and threading.get_ident() == self._thread:
            now = time.perf_counter()
            self._waits.append((now - duration_secs, now))

    def take(self) -> tuple[int, float]:
        """Returns (compilations, seconds) since the last call.

        The seconds are added up over the threads that compile, so they can exceed the wall time.
        """
        taken = self._count, self._seconds
        self._count, self._seconds = 0, 0.0
        return taken

    def take_wait(self) -> float:
        """Returns the wall seconds since the last call that compilations cost the training thread.

        It traced, lowered or compiled a program itself, or waited for another thread to do so,
        which is the event `WAITED`.
        """
        waits, self._waits = self._waits, []
        total, reached = 0.0, self._since
        for start, end in sorted(waits):  # tracing a function may trace others within it
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        self._since = time.perf_counter()
        return total

    def close(self) -> None:
        """Stops listening."""
        jax.monitoring.unregister_event_duration_listener(self._listen)
