"""The progress of a run: a live bar on a terminal, one plain line a round anywhere else."""

import bisect
import contextlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

_RECENT = 20
"""How many rounds of a phase predict how long its other rounds take."""
_COMPILING_SECONDS = 10.0


class Display:
    """Shows rounds as they complete.

    Args:
        rounds: the total number of rounds.
        done: the number of rounds that earlier starts of the run have completed.
        phase_starts: see `core.recipe.Recipe`.
        live: show a bar that redraws itself, for terminals, instead of plain lines.
        silent: show nothing, for processes other than process 0.
        console: where to print; standard output by default.
    """

    def __init__(
        self,
        rounds: int,
        done: int,
        phase_starts: Sequence[int] = (),
        *,
        live: bool,
        silent: bool = False,
        console: Console | None = None,
    ) -> None:
        self._rounds = rounds
        self._done = done
        self._silent = silent
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._phase_starts = [1, *phase_starts]
        self._seconds = [deque[float](maxlen=_RECENT) for _ in self._phase_starts]
        self._values: dict[str, tuple[float, int]] = {}
        self._said_compiling: float | None = None
        self._bar: Progress | None = None
        if live and not silent:
            self._bar = Progress(
                SpinnerColumn(),
                _text("round {task.completed}/{task.total}"),
                BarColumn(bar_width=10),
                _text("{task.fields[values]}"),
                _text("{task.fields[left]}"),
                # The last column, because a narrow terminal cuts it off.
                TextColumn("[dim]{task.fields[part]}"),
                console=self._console,
            )
            self._task = self._bar.add_task(
                "", total=rounds, completed=done, values="", left="", part=""
            )

    def start(self) -> None:
        """Draws the bar for the first time."""
        if self._bar:
            self._bar.start()

    def stop(self) -> None:
        """Stops redrawing the bar and restores the terminal."""
        if self._bar:
            self._bar.update(self._task, part="")
            self._bar.stop()

    def part(self, name: str) -> None:
        """Shows the current part of the round in the bar."""
        if self._bar:
            self._bar.update(self._task, part=name)

    def round_done(self, number: int, values: Mapping[str, float], seconds: float) -> None:
        """Shows a round that has been trained: its values and the time left.

        Args:
            number: the round.
            values: the values to show, by name.
            seconds: wall time since the last round was shown.
        """
        self._done = number
        self._seconds[self._phase(number)].append(seconds)
        left = self._left()
        if self._bar:
            self._update_bar(self._bar, number, values, completed=number, left=left)
        else:
            shown = _pairs(values)
            self.say(f"round {number}/{self._rounds}  {shown}  {seconds:.1f} s  {left}".rstrip())

    def validated(self, number: int, values: Mapping[str, float]) -> None:
        """Shows the results of a validation, which may arrive after the next round.

        Args:
            number: the round that was validated.
            values: the values to show, by name.
        """
        if self._bar:
            self._update_bar(self._bar, number, values)
        else:
            self.say(f"validation of round {number}: {_pairs(values)}")

    def compiling(self, done: int, requested: int, seconds: float) -> None:
        """Shows how far compiling is, in plain output every ten seconds and at the end.

        Args:
            done: compiled programs.
            requested: programs that are or will be compiled.
            seconds: since the first of them was requested.
        """
        busy = done < requested
        text = f"compiling {done + 1} of {requested}, {duration(seconds)}"
        if self._bar:
            self.part(text if busy else "")
        elif not busy:
            if self._said_compiling is not None:
                self.say(f"compiled {requested} of {requested} in {duration(seconds)}")
            self._said_compiling = None
        elif self._said_compiling is None or seconds >= self._said_compiling + _COMPILING_SECONDS:
            self.say(text)
            self._said_compiling = seconds

    def say(self, text: str) -> None:
        """Prints one line of text, above the bar if there is one."""
        if not self._silent:
            self._console.print(text, markup=False)

    def _update_bar(
        self, bar: Progress, number: int, values: Mapping[str, float], **fields: Any
    ) -> None:
        """Shows values in the bar, next to older values of other names and their rounds.

        Args:
            bar: the bar.
            number: the round of the values.
            values: the values to show, by name.
            fields: what else changes, as for `Progress.update`.
        """
        self._values.update({name: (value, number) for name, value in values.items()})
        shown = "  ".join(
            f"{name} {value:.4g}" + ("" if measured == self._done else f" (round {measured})")
            for name, (value, measured) in self._values.items()
        )
        bar.update(self._task, values=shown, **fields)

    def _phase(self, number: int) -> int:
        """Returns the index of a round's phase."""
        return bisect.bisect_right(self._phase_starts, number) - 1

    def _left(self) -> str:
        """Returns the time left, or that until the first phase with no timed round."""
        ends = [*(start - 1 for start in self._phase_starts[1:]), self._rounds]
        seconds, reached = 0.0, self._done
        for times, end in zip(self._seconds, ends, strict=True):
            rounds = min(end, self._rounds) - reached
            if rounds <= 0:
                continue
            # The first round of a phase includes compilation, so it does not predict the others.
            recent = list(times) if len(times) == _RECENT else list(times)[1:]
            if not recent:
                return f"{duration(seconds)} to round {reached}" if reached > self._done else ""
            seconds += rounds * sum(recent) / len(recent)
            reached += rounds
        return f"{duration(seconds)} left" if reached > self._done else ""


def _pairs(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _text(template: str) -> TextColumn:
    return TextColumn(template, table_column=Column(no_wrap=True))


@contextlib.contextmanager
def show(
    rounds: int, done: int, phase_starts: Sequence[int] = (), silent: bool = False
) -> Iterator[Display]:
    """Yields a display, which is live if standard output is a terminal, and stops it afterwards."""
    display = Display(rounds, done, phase_starts, live=sys.stdout.isatty(), silent=silent)
    display.start()
    try:
        yield display
    finally:
        display.stop()


def duration(seconds: float) -> str:
    """Returns a short text such as "48 s", "12 min" or "3 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
