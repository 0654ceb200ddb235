"""Runs of train.py, for the benchmarks that compare trained systems."""

import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgan.core import log
from jaxgan.reporting.statistics import mean_and_half_width

ROOT = Path(__file__).parents[1]
LEAST_ROUNDS = 2
"""Rounds of a run, so that there is a validation besides the last one."""
CLASSIFIERS: Mapping[str, tuple[str, int]] = {
    "glyphs": ("classifier.py:quick", 4),
    "mnist": ("classifier.py", 3),
    "fashion_mnist": ("classifier.py", 10),
}
"""For each kind of data, the config and the rounds of the classifier in whose features images are
compared. On MNIST three epochs reach 0.988."""
CPU_SECONDS = "cpu_seconds.json"

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Column:
    """A metric of validation in a table.

    Attributes:
        heading: the heading of the column.
        metric: its name in metrics.jsonl.
        best: chooses the best validation: max or min.
        digits: the number of decimals.
    """

    heading: str
    metric: str
    best: Callable[[Sequence[float]], float]
    digits: int = 2


def train(preset: str, settings: Settings, overrides: Sequence[str], workdir: Path) -> None:
    """Trains with train.py; continues a run that was stopped, and does nothing for a finished one.

    Args:
        preset: a config of the folder configs, such as "metricgan.py:quick".
        settings: values for its keys.
        overrides: further flags, which override the settings.
        workdir: the folder of the run.
    """
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    command = [sys.executable, str(ROOT / "train.py"), f"--config={ROOT / 'configs' / preset}"]
    subprocess.run([*command, f"--workdir={workdir}", *flags, *overrides], check=True)


def validations(workdir: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rounds that were validated [n], and the values of the metric [n]."""
    rows = [row for row in log.read(workdir) if metric in row]
    return np.array([row["round"] for row in rows]), np.array([row[metric] for row in rows])


def train_timed(preset: str, settings: Settings, overrides: Sequence[str], workdir: Path) -> float:
    """Trains like `train`, and returns the CPU seconds that the run has taken in all.

    They include compilation, and those of interrupted calls as long as this process was not killed.
    A call for a finished run adds none.
    """
    path = workdir / CPU_SECONDS
    spent = float(json.loads(path.read_text())) if path.exists() else 0.0
    before, rows = _seconds_of_children(), _count_rows(workdir)
    try:
        train(preset, settings, overrides, workdir)
    finally:
        if _count_rows(workdir) > rows:
            spent += _seconds_of_children() - before
            path.write_text(f"{json.dumps(spent)}\n")
    return spent


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _count_rows(workdir: Path) -> int:
    return len(log.read(workdir)) if (workdir / log.METRICS_FILE).exists() else 0


def scaled(rounds: int, steps: int, budget: float) -> tuple[int, int]:
    """Returns how many rounds, and steps in each, are a share of the updates of a run.

    There are at least `LEAST_ROUNDS`, and each has the same number of steps, which is rounded up.

    Args:
        rounds: the number of rounds of the whole run.
        steps: the number of steps in each of them.
        budget: the share.
    """
    fewer = max(LEAST_ROUNDS, round(rounds * budget))
    return fewer, math.ceil(steps * rounds * budget / fewer)


def data_of(kind: str, root: Path) -> dict[str, object]:
    """Returns the settings that choose the data."""
    return {"data.kind": kind, "data.root": str(root)}


def classifier_of(kind: str, root: Path, workdir: Path) -> Path:
    """Returns the run of a classifier for some data, after training it."""
    folder, (preset, rounds) = workdir / f"classifier_{kind}", CLASSIFIERS[kind]
    train(preset, {**data_of(kind, root), "rounds": rounds}, [], folder)
    return folder


def series(rows: Sequence[Mapping[str, float | None]], suffix: str = "") -> dict[str, list[float]]:
    """Returns the validations of a seed by metric, of the metrics whose name ends in the suffix."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith("eval/") and name.endswith(suffix):
                number = math.nan if value is None else value
                found.setdefault(name.removesuffix(suffix), []).append(number)
    return found


def of_seeds(
    values: Sequence[Mapping[str, Sequence[float]]], column: Column, when: str
) -> np.ndarray:
    """Returns a metric of every seed [seeds]; seeds without it are left out.

    Args:
        values: the validations of each seed, by metric.
        column: names the metric.
        when: "last", or "best", by the column's own metric.
    """
    choose = column.best if when == "best" else lambda each: each[-1]
    finite = [[v for v in seed.get(column.metric, []) if math.isfinite(v)] for seed in values]
    return np.array([choose(each) for each in finite if each], float)


def interval(values: np.ndarray, digits: int) -> str:
    """Returns the mean and its 95 % interval as text."""
    if not len(values):
        return "-"
    mean, half = mean_and_half_width(values)
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")
