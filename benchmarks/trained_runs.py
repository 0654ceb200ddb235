"""Runs of train.py, for the benchmarks that compare trained systems."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxgan.core import log

ROOT = Path(__file__).parents[1]

Settings = Mapping[str, object]


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
