"""What a run writes down: metrics.jsonl, one line a round, and TensorBoard's event files."""

import json
import math
from collections.abc import Mapping

import numpy as np
import tensorboardX
from etils import epath

from jaxgan.core.config import replace_text
from jaxgan.core.recipe import Audio, Media

METRICS_FILE = "metrics.jsonl"


class Log:
    """Writes rounds to metrics.jsonl and TensorBoard.

    Args:
        workdir: local or gs://.
        done: rounds that the restored checkpoint holds; what was written about later ones, by a
            run that was killed before it saved them, is taken back.
    """

    def __init__(self, workdir: epath.PathLike, done: int) -> None:
        self._path = epath.Path(workdir) / METRICS_FILE
        self._lines = _lines_until(self._path, done)
        replace_text(self._path, "".join(self._lines))
        # Object stores cannot append: there the whole file is written anew for every round.
        self._local = "://" not in str(workdir)
        self._board = tensorboardX.SummaryWriter(str(workdir), purge_step=done + 1)

    def write(self, row: Mapping[str, int | float], media: Mapping[str, Media]) -> None:
        """Writes one round; a number that is not finite stands as null."""
        plain = {
            name: value if isinstance(value, int) or math.isfinite(value) else None
            for name, value in row.items()
        }
        line = json.dumps(plain) + "\n"
        if self._local:
            with self._path.open("a") as file:
                file.write(line)
        else:
            self._lines.append(line)
            replace_text(self._path, "".join(self._lines))
        number = int(row["round"])
        for name, value in plain.items():
            if value is not None and name != "round":
                self._board.add_scalar(name, value, number)
        for name, item in media.items():
            self._show(name, item, number)
        self._board.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._board.close()

    def _show(self, name: str, item: Media, number: int) -> None:
        if isinstance(item, Audio):
            samples = np.clip(item.samples, -1.0, 1.0)
            self._board.add_audio(name, samples, number, sample_rate=item.sample_rate)
        elif isinstance(item, np.ndarray):
            self._board.add_image(name, item, number, dataformats="HWC")
        else:
            self._board.add_figure(name, item, number)


def read(workdir: epath.PathLike) -> list[dict[str, int | float | None]]:
    """The rows of metrics.jsonl, one a round."""
    return [json.loads(line) for line in _lines_until(epath.Path(workdir) / METRICS_FILE, math.inf)]


def _lines_until(path: epath.Path, done: float) -> list[str]:
    """The whole lines of rounds 1..done; a line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["round"] <= done:
            lines.append(line if line.endswith("\n") else line + "\n")
    return lines
