"""Measures how much audio a training round processes, and where its time goes.

    pip install -e ".[benchmarks]"
    python -m benchmarks.throughput --config=configs/metricgan_plus.py [--config.key=value ...]
        [--rounds=3] [--corpus-hours=H] [--json=FILE]

Runs whole rounds of a config, without validation. The first ones compile and are not counted; then
`--rounds` are measured. CPU seconds are those of this process and of its score workers. The history
grows as in training, so replay takes part; `--replayed=N` adds the records of N rounds to it, as
there would be later in a run. `--corpus-hours=9.1` trains on as much demo speech as
VoiceBank-DEMAND has (11,572 utterances); the first time, creating it takes some minutes.
"""

import argparse
import contextlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import psutil

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import History
from jaxgan.core.timer import Compilations, Timer
from jaxgan.speech.data import demo
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.settings import data_settings

COMPILING = 3
"""Rounds before the measured ones. In the first one, G may not train and there is no replay."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON if asked. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:PRESET]")
    parser.add_argument("--rounds", type=int, default=3, help="to measure (default 3)")
    parser.add_argument("--replayed", type=int, default=0, help="rounds of history to add")
    parser.add_argument("--corpus-hours", type=float, help="of demo speech to train on")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options, overrides = parser.parse_known_args(arguments)
    if options.corpus_hours:
        overrides += demo_of(options.corpus_hours)
    try:
        figures = measure(options.config, overrides, options.rounds, options.replayed)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def demo_of(hours: float) -> list[str]:
    """Returns the settings of a demo corpus of about this many hours."""
    some = demo.open_set("train", 50, data_settings().seed)
    count = round(hours * 3600 * SAMPLE_RATE / some.lengths.mean())
    return ["--config.data.kind=demo", f"--config.data.demo.train={count}"]


def measure(spec: str, overrides: Sequence[str], rounds: int, replayed: int) -> dict[str, Any]:
    """Returns figures of a config's rounds: medians over the measured ones."""
    config = configs.load(spec, overrides)
    devices.start()
    started = time.perf_counter()
    with (
        contextlib.closing(Compilations()) as compilations,
        contextlib.closing(recipes.make(config, devices.make_mesh())) as recipe,
    ):
        state = recipe.init(jax.random.key(config.seed))
        history: History = ()
        rows: list[dict[str, float]] = []
        compiled = 0
        timer = Timer()
        for number in range(1, COMPILING + rounds + 1):
            cpu, wall = cpu_seconds(), time.perf_counter()
            state, record, metrics = recipe.round(state, history, number, timer)
            jax.block_until_ready(state)
            times = timer.take()
            if number == 1:
                first = time.perf_counter() - started
            history = (*history, record)
            if number == COMPILING:
                history = (*history, *(history[i % COMPILING] for i in range(replayed)))
                compiled, _ = compilations.take()
            elif number > COMPILING:
                audio = float(metrics["throughput/audio_seconds"])
                wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
                rows.append(
                    {"audio": audio, "audio / wall": audio / wall, "audio / CPU": audio / cpu}
                    | {f"{part} s": seconds for part, seconds in times.items()}
                    | {"round s": wall}
                )
        more, _ = compilations.take()
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {
        "config": " ".join([spec, *overrides]),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "median of": rounds,
        "seconds": {n: statistics.median(row.get(n, 0.0) for row in rows) for n in names},
        "to the end of round 1 s": first,
        "compilations before / while measuring": [compiled, more],
        "peak memory MB": peak_megabytes(),
    }


def cpu_seconds() -> float:
    """Returns the CPU seconds that this process and its children have used so far."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def peak_megabytes() -> dict[str, float]:
    """Returns the peak memory of this process, and of its devices if they report it."""
    found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    for device in jax.local_devices():
        stats = device.memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            found[str(device)] = stats["peak_bytes_in_use"] / 1e6
    return found


def table(figures: dict[str, Any]) -> str:
    """Returns the figures as text, one a line."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, dict):
            lines += [f"{name}: {key}: {number:.2f}" for key, number in value.items()]
        else:
            lines.append(f"{name}: {value if not isinstance(value, float) else f'{value:.2f}'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
