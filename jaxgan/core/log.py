"""The log of a run: metrics.jsonl with one line a round, and TensorBoard's event files."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

from etils import epath

from jaxgan.core import files
from jaxgan.core.events import Event, EventsWriter, SessionLog, summary
from jaxgan.core.recipe import Media

METRICS_FILE = "metrics.jsonl"


class Log:
    """Writes rounds to metrics.jsonl and TensorBoard; both are on disk when `write` returns.

    Args:
        workdir: the run's folder, local or gs://.
        done: the number of rounds in the restored checkpoint. Lines of later rounds, from a run
            that was killed before it saved them, are removed.

    Raises:
        UserError: the folder cannot be written to; `write` and `close` raise it too.
    """

    def __init__(self, workdir: epath.Path, done: int) -> None:
        self._workdir = workdir
        self._path = workdir / METRICS_FILE
        self._lines = _lines_until(self._path, done)
        # Object stores cannot append to a file, so there every round writes the whole file again.
        self._appends = not files.is_remote(workdir)
        with files.writable(workdir):
            files.replace(self._path, "".join(self._lines).encode())
            self._board = _Board(workdir, done + 1)

    def write(
        self, row: Mapping[str, int | float], media: Mapping[str, Media]
    ) -> dict[str, int | float | None]:
        """Writes one round and returns the row as written: numbers that are not finite are None."""
        plain = {name: value if math.isfinite(value) else None for name, value in row.items()}
        line = json.dumps(plain) + "\n"
        with files.writable(self._workdir):
            if self._appends:
                with self._path.open("a") as file:
                    file.write(line)
            else:
                self._lines.append(line)
                files.replace(self._path, "".join(self._lines).encode())
            self._board.write(plain, media)
        return plain

    def close(self) -> None:
        """Closes TensorBoard's file."""
        with files.writable(self._workdir):
            self._board.close()


def read(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """Returns the rows of metrics.jsonl, one a round."""
    path = epath.Path(workdir) / METRICS_FILE
    return [json.loads(line) for line in _lines_until(path, math.inf)]


class _Board:
    """TensorBoard's event file.

    tensorboardX's own SummaryWriter passes events to a thread; if the disk is full, the thread dies
    and the program waits for it forever. This class writes in the caller's thread.
    """

    def __init__(self, workdir: epath.Path, purge_step: int) -> None:
        # The suffix keeps two starts within one second from writing to the same file.
        self._writer = EventsWriter(str(workdir / "events"), f".{purge_step:06d}")
        # TensorBoard then discards these rounds of earlier files.
        start = SessionLog(status=SessionLog.START)
        self._event(purge_step, session_log=start)

    def write(self, row: Mapping[str, int | float | None], media: Mapping[str, Media]) -> None:
        number = int(row["round"] or 0)
        for name, value in row.items():
            if value is not None and name != "round":
                self._event(number, summary=summary.scalar(name, value))
        for name, make_summary in media.items():
            self._event(number, summary=make_summary(name))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _event(self, number: int, **content: Any) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=number, **content))


def _lines_until(path: epath.Path, done: float) -> list[str]:
    """Returns the lines of rounds 1..done, without lines that a crash cut short."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            number = json.loads(line)["round"]
        except (ValueError, TypeError, KeyError):
            continue
        if number <= done:
            lines.append(line + "\n")
    return lines
