"""Code that all parts of accelerator.py use: reads the job, and runs train.py and records it."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
CONFIG = "configs/metricgan_plus.py"

Figures = dict[str, Any]


class Job:
    """The task of a part and the figures that it has found so far.

    Attributes:
        name: of the part.
        folder: for its files; kept from one part to the next.
        end: when the part ends, in seconds of time.monotonic.
        figures: by name.
        rehearse: whether to measure everything in miniature.
        speech, noise, pairs: folders; pairs may be "".
        overrides: settings of every part that uses speech.
    """

    def __init__(self, name: str, folder: Path, seconds: float) -> None:
        self.name, self.folder = name, folder
        self.end = time.monotonic() + seconds
        self.figures: Figures = {}
        job = json.loads((folder / "job.json").read_text())
        self.rehearse: bool = job["rehearse"]
        self.speech, self.noise, self.pairs = job["speech"], job["noise"], job["pairs"]
        self.overrides: list[str] = job["overrides"]

    def report(self, name: str, figure: Any) -> None:
        """Adds a figure and writes all of them."""
        self.figures[name] = figure
        path = self.folder / f"{self.name}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.figures))
        part.replace(path)

    def attempt(self, name: str, measure: Callable[..., Any], *inputs: Any) -> None:
        """Adds what a function returns for some inputs, or the reason why it fails."""
        try:
            figure = measure(*inputs)
        except Exception as error:
            figure = {"reason": reason(error)}
        self.report(name, figure)

    def follow(self, name: str, measured: Iterator[Figures]) -> None:
        """Adds the figures that are known so far whenever there are more.

        If the measurement fails, the last ones stay, and the reason is added to them.
        """
        figures: Figures = {}
        try:
            for figures in measured:
                self.report(name, figures)
        except Exception as error:
            self.report(name, figures | {"reason": reason(error)})

    def sized(self, full: Any, tiny: Any) -> Any:
        """Returns the first, or in a rehearsal the second."""
        return tiny if self.rehearse else full


def reason(error: Exception) -> str:
    """Returns an exception in one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed"
    lines = str(error).strip().splitlines() or [""]
    # Run.wait raises a RuntimeError with the last line of train.py, which names its own error.
    kind = "" if type(error) is RuntimeError else f"{type(error).__name__}: "
    return f"{kind}{lines[-1]}"[:300]


class Run:
    """A run of train.py in a new process.

    Args:
        config: FILE[:PRESET].
        workdir: the run's folder.
        flags: further flags of train.py.
        environment: variables to add to this process's.

    Attributes:
        workdir: as given.
        process: of train.py.
        begin: when it started, in seconds of time.monotonic.
        lines: what it has printed so far: (time.monotonic, text).
    """

    def __init__(
        self, config: str, workdir: Path, flags: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.workdir = workdir
        self.lines: list[tuple[float, str]] = []
        command = [sys.executable, str(ROOT / "train.py"), f"--config={config}"]
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [*command, f"--workdir={workdir}", *flags],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append((time.monotonic(), line.rstrip()))

    def wait(self, timeout: float | None = None) -> "Run":
        """Waits for the end. Raises RuntimeError with the last line if the run fails."""
        status = self.process.wait(timeout)
        self._reader.join()
        if status:
            raise RuntimeError(self.lines[-1][1] if self.lines else f"train.py: status {status}")
        return self

    def rows(self) -> list[dict[str, Any]]:
        """Returns the lines of metrics.jsonl so far."""
        path = self.workdir / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ends(self) -> dict[int, float]:
        """Returns when each round so far was done, in seconds of time.monotonic."""
        found = ((moment, re.match(r"round (\d+)/", line)) for moment, line in self.lines)
        return {int(match[1]): moment for moment, match in found if match}


class Busy:
    """Samples the card's utilisation: the share of the last moments in which any kernel ran.

    nvidia-smi averages it over 1/6 to 1 s. Without nvidia-smi there are no samples.
    """

    def __enter__(self) -> "Busy":
        """Starts to sample."""
        self.samples: list[tuple[float, float]] = []
        self._process = None
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                ["nvidia-smi", *query, "-lms", "200"], stdout=subprocess.PIPE, text=True
            )
            output = self._process.stdout
            self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._reader.join()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                with contextlib.suppress(ValueError):
                    self.samples.append((time.monotonic(), float(line) / 100))

    def share(self, begin: float, end: float) -> float | None:
        """Returns the mean between two moments of time.monotonic; None without samples."""
        found = [value for moment, value in self.samples if begin <= moment <= end]
        return statistics.mean(found) if found else None


def common(job: Job) -> list[str]:
    """Returns the settings of all runs, which share data and shapes, hence compiled programs."""
    values = {
        "data.kind": "mix",
        "data.speech": job.speech,
        "data.noise": job.noise,
        "data.buckets": job.sized(2, 1),
        "scoring.where": "device",
        "validation.every": 10**6,
        "validation.utterances": 8,
        "checkpoint.every": 10**6,
    }
    return [f"--config.{key}={value}" for key, value in values.items()]


def train_py(
    job: Job, workdir: str, flags: Sequence[str], preset: str | None = None, **environment: str
) -> Run:
    """Starts train.py in a folder of the job, by default with the preset "tiny" in a rehearsal."""
    config = CONFIG + (job.sized("", ":tiny") if preset is None else preset)
    return Run(config, job.folder / workdir, [*common(job), *flags, *job.overrides], environment)
