"""The summary of an evaluation: printed, and written as summary.json."""

from collections.abc import Mapping
from pathlib import Path

import jax
from etils import epath

from jaxgan.core.files import writable
from jaxgan.reporting.tables import or_none, write_json

SUMMARY = "summary.json"
EVALUATED = "eval"
"""The folder, within that of a run, that eval.py writes to by default."""


def destination(folder: epath.Path, output: str | None) -> Path:
    """Returns where eval.py writes to: the flag --output, or else `EVALUATED` in a run's folder."""
    return Path(output).expanduser() if output else Path(str(folder / EVALUATED))


def report(
    folder: epath.Path, output: str | None, count: int, metrics: Mapping[str, float]
) -> None:
    """Prints metrics and writes them as summary.json, in the first process.

    Args:
        folder: the folder of the run.
        output: the flag --output; see `destination`.
        count: the number of items that were measured.
        metrics: the metrics by name; a prefix "eval/" is removed.
    """
    summary = {"count": count} | {
        name.removeprefix("eval/"): or_none(value) for name, value in metrics.items()
    }
    if jax.process_index() == 0:
        place = destination(folder, output)
        with writable(place):
            place.mkdir(parents=True, exist_ok=True)
            write_json(place / SUMMARY, summary)
        width = max(map(len, summary)) + 2
        print("\n".join(f"{name:<{width}}{value}" for name, value in summary.items()))
        print(f"wrote {place}")
