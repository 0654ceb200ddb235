"""What a run writes down: metrics.jsonl, one line a round, and TensorBoard's event files."""

import json
import math
import time
from collections.abc import Mapping
from textwrap import indent
from typing import Any

import numpy as np
from etils import epath
from tensorboardX import summary, utils
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from jaxgan.core import files
from jaxgan.core.recipe import Media

METRICS_FILE = "metrics.jsonl"


class Log:
    """Writes rounds to metrics.jsonl and TensorBoard; both are on disk when `write` returns.

    Args:
        workdir: local or gs://.
        done: rounds that the restored checkpoint holds; what was written about later ones, by a
            run that was killed before it saved them, is taken back.

    Raises:
        UserError: the folder cannot be written to; `write` and `close` raise it too.
    """

    def __init__(self, workdir: epath.Path, done: int) -> None:
        self._workdir = workdir
        self._path = workdir / METRICS_FILE
        self._lines = _lines_until(self._path, done)
        # Object stores cannot append: there the whole file is written anew for every round.
        self._appends = not files.is_remote(workdir)
        with files.writable(workdir):
            files.replace(self._path, "".join(self._lines).encode())
            self._board = _Board(workdir, done + 1)

    def write(self, row: Mapping[str, int | float], media: Mapping[str, Media]) -> None:
        """Writes one round; a number that is not finite stands as null."""
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

    def close(self) -> None:
        """Closes TensorBoard's file."""
        with files.writable(self._workdir):
            self._board.close()


def read(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, one a round."""
    path = epath.Path(workdir) / METRICS_FILE
    return [json.loads(line) for line in _lines_until(path, math.inf)]


class _Board:
    """TensorBoard's event file.

    tensorboardX's own SummaryWriter hands events to a thread, which on a full disk dies alone and
    leaves the program waiting for it; this writes them where the caller stands.
    """

    def __init__(self, workdir: epath.Path, purge_step: int) -> None:
        # Every start writes a file of its own, also when two fall into one second.
        self._writer = EventsWriter(str(workdir / "events"), f".{purge_step:06d}")
        # Tells TensorBoard to drop what earlier files say of these rounds.
        begun = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._event(purge_step, session_log=begun)

    def write(self, row: Mapping[str, int | float | None], media: Mapping[str, Media]) -> None:
        number = int(row["round"] or 0)
        for name, value in row.items():
            if value is not None and name != "round":
                self._event(number, summary=summary.scalar(name, value))
        for name, item in media.items():
            self._event(number, summary=item(name))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _event(self, number: int, **content: Any) -> None:
        self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=number, **content))


def _summary(name: str, item: Media) -> Any:
    if isinstance(item, Audio):
        samples = np.clip(item.samples, -1.0, 1.0)
        return summary.audio(name, samples, sample_rate=item.sample_rate)
    if isinstance(item, str):
        # Indented, so that TensorBoard shows it as it is and not as Markdown.
        return summary.text(name, indent(item, "    "))
    if isinstance(item, np.ndarray):
        return summary.image(name, item, dataformats="HWC")
    return summary.image(name, utils.figure_to_image(item), dataformats="CHW")


def _lines_until(path: epath.Path, done: float) -> list[str]:
    """The whole lines of rounds 1..done; a line that a crash cut short is left out."""
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
