"""Where the wall time of a round goes, and what compilation took of it."""

import contextlib
import time
from collections.abc import Callable, Iterator

import jax


class Timer:
    """Adds up wall seconds by the name of the part that they were spent in.

    Args:
        on_part: called with a part's name when the part begins, for a progress display.
    """

    def __init__(self, on_part: Callable[[str], None] | None = None) -> None:
        self._seconds: dict[str, float] = {}
        self._on_part = on_part

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the seconds inside the `with` block to the part `name`.

        The clock is the host's: work that was only dispatched to a device counts where the host
        waits for it.
        """
        if self._on_part:
            self._on_part(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        seconds, self._seconds = self._seconds, {}
        return seconds


class Compilations:
    """Counts compilations of this process and their seconds, from jax's own events.

    A program that comes out of the persistent cache counts too: it was asked for. A number that
    keeps rising after the first rounds means that shapes keep changing.
    """

    _COMPILE = "/jax/core/compile/backend_compile_duration"
    _LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"

    def __init__(self) -> None:
        self._count = 0
        self._seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == self._COMPILE:
            self._count += 1
        if event in (self._COMPILE, self._LOWER):
            self._seconds += duration_secs

    def take(self) -> tuple[int, float]:
        """(compilations, seconds) since the last call."""
        taken = self._count, self._seconds
        self._count, self._seconds = 0, 0.0
        return taken

    def close(self) -> None:
        """Stops listening."""
        jax.monitoring.unregister_event_duration_listener(self._listen)
