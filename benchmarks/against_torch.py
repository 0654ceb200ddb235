"""Compares a round of MetricGAN+ in jaxgan with the same round in plain PyTorch.

    pip install -e ".[benchmarks]"
    python benchmarks/against_torch.py [--config.key=value ...] [--rounds=3] [--warmup=2]
        [--replayed=0] [--threads=2] [--json=FILE]

Three loops make the updates of configs/metricgan_plus.py, from the same initial networks, on the
same utterances, with the same scores (see torch_metricgan.py):

    jaxgan, batch N   what `train.py` runs; N is config.batch_size
    torch, batch N    batches that respect lengths, one update for all kinds, worker processes
    torch, batch 1    one utterance at a time, a separate update for every kind of speech, scores in
                      this process, as in the usual implementation

They take turns, a round each. The first `--warmup` rounds are not counted; with `--warmup=0` jaxgan
compiles its programs before round 1, which then is counted. `--replayed=N` adds N rounds to the
history of each loop, as there would be later in a run. CPU seconds are those of this
process and its workers. On a busy machine set OMP_WAIT_POLICY=passive, so that PyTorch's threads
spend no CPU time on waiting for each other. On a GPU set XLA_PYTHON_CLIENT_PREALLOCATE=false, so
that there is memory for both.

The losses of round 1 show that the loops compute the same: those of batch N agree to about 1e-4.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import throughput
import torch
from ml_collections import ConfigDict
from torch_metricgan import Scores, TorchMetricGAN

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import History
from jaxgan.core.timer import Compilations, Timer
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.score import Score, Unscorable, with_map
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.systems.metricgan import MetricGAN

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "metricgan_plus.py"
OURS = "jaxgan"
FREE = (
    "data",
    "generator.layers",
    "generator.width",
    "generator.dense",
    "generator.floor",
    "discriminator.channels",
    "discriminator.kernels",
    "discriminator.dense",
    "replay.share",
    "replay.most",
    "scoring.delay",
    "scoring.workers",
    "seed",
    "batch_size",
    "utterances_per_round",
    "target",
    "gradient_clip",
    "generator_learning_rate",
    "discriminator_learning_rate",
    "adam_b1",
    "adam_b2",
)
"""Keys, or sections, that PyTorch's loops also use or that influence no number."""


class Loop(Protocol):
    """One of the loops that take turns."""

    history: History

    def round(self, number: int, timer: Timer) -> Mapping[str, float]:
        """Trains for a round and returns "audio seconds", "d_loss" and "g_loss"."""


class JaxganLoop:
    """jaxgan's recipe as `jaxgan.core.loop` drives it, without validation."""

    def __init__(self, recipe: MetricGAN) -> None:
        self.recipe = recipe
        self.start()

    def start(self) -> None:
        """Starts again from the initial networks, with an empty history."""
        self.state = self.recipe.init(jax.random.key(self.recipe.config.seed))
        self.history: History = ()

    def round(self, number: int, timer: Timer) -> Mapping[str, float]:
        """Trains for one round."""
        result = self.recipe.round(self.state, self.history, number, timer)
        self.state, record, metrics = jax.block_until_ready(result)
        self.history = (*self.history, record)
        losses = {name: float(metrics[name]) for name in ("d_loss", "g_loss")}
        return losses | {"audio seconds": float(metrics["throughput/audio_seconds"])}


class PartTimer(Timer):
    """Adds up CPU seconds by part, in addition to wall seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the CPU seconds, too; otherwise as in Timer."""
        started = throughput.cpu_seconds()
        with super().part(name):
            yield
        self.cpu[name] = self.cpu.get(name, 0.0) + throughput.cpu_seconds() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints tables, and writes JSON if asked. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="to measure (default 3)")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before them (default 2)")
    parser.add_argument("--replayed", type=int, default=0, help="rounds of history to add")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options, overrides = parser.parse_known_args(arguments)
    if options.replayed and not options.warmup:
        parser.error("--replayed needs --warmup: it repeats the history of those rounds")
    sys.path.append(str(ROOT))  # the config imports one beside it
    try:
        config = configs.load(str(CONFIG), overrides)
        check(config)
        figures = compare(config, options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    figures = {"config": " ".join([CONFIG.name, *overrides])} | figures
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def check(config: ConfigDict) -> None:
    """Raises UserError for a setting that only jaxgan would use."""
    for key, _, value in configs.differences(configs.load(str(CONFIG)), config):
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise UserError(
                f"config.{key}={value}: the loops in PyTorch have no such setting; leave it out"
            )


def print_row(number: int, name: str, row: Mapping[str, float]) -> None:
    """Prints the times of a loop's round as soon as they are known."""
    times = f"{row['round s']:.1f} s, {row['round CPU s']:.1f} CPU s"
    print(f"round {number}: {name}: {times}", file=sys.stderr)


def compare(
    config: ConfigDict,
    options: argparse.Namespace,
    report: Callable[[int, str, Mapping[str, float]], None] = print_row,
) -> dict[str, Any]:
    """Returns the figures of all loops.

    Args:
        config: of all loops.
        options: `rounds`, `warmup`, `replayed` and `threads` of the command line.
        report: called after every round with its number, the loop's name, and the figures.
    """
    devices.start()
    torch.set_num_threads(options.threads)
    scoring = config.scoring
    with (
        contextlib.closing(recipes.make(config, devices.make_mesh())) as recipe,
        ScorePool([config.score], SAMPLE_RATE, scoring.workers, scoring.deadline_seconds) as pool,
        contextlib.closing(Compilations()) as compilations,
    ):
        assert isinstance(recipe, MetricGAN)
        loops = make_loops(config, recipe, pool)
        if not options.warmup:
            ours = loops[OURS]
            assert isinstance(ours, JaxganLoop)
            ours.round(1, Timer())
            ours.start()
            compilations.take()
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in loops}
        for number in range(1, options.warmup + options.rounds + 1):
            for name, loop in loops.items():
                row = measured(loop, number)
                rows[name].append(row)
                report(number, name, row)
            if number == options.warmup:
                compilations.take()
                for loop in loops.values():
                    past = loop.history
                    more = (past[i % len(past)] for i in range(options.replayed))
                    loop.history = (*past, *more)
        compiled, _ = compilations.take()
    counted = {name: rounds[options.warmup :] for name, rounds in rows.items()}
    return {
        "jaxgan on": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "torch on": f"{place()}, {torch.get_num_threads()} threads, version {torch.__version__}",
        "medians of": options.rounds,
        "rounds of history at the first measured round": options.warmup + options.replayed,
        "compilations while measuring": compiled,
        "losses of round 1": {
            name: {loss: rounds[0][loss] for loss in ("d_loss", "g_loss")}
            for name, rounds in rows.items()
        },
        "loops": {name: summary(rounds) for name, rounds in counted.items()},
        "times faster than": ratios(counted, "audio / s"),
        "times less CPU than": ratios(counted, "audio / CPU s"),
    }


def make_loops(config: ConfigDict, recipe: MetricGAN, pool: ScorePool) -> dict[str, Loop]:
    """Returns the three loops by name, all with jaxgan's initial networks."""
    ours = JaxganLoop(recipe)
    players = jax.device_get(ours.state.players)
    score, size = with_map(get(config.score), config.score_map), config.batch_size
    corpus = recipe.training.corpus

    def by_workers(clean: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return np.asarray(score.normalise(pool.score_batch(clean, other, lengths)[:, 0]))

    torch.manual_seed(config.seed)
    known = TorchMetricGAN(config, corpus, 1, False, in_process(score), place())
    batched = TorchMetricGAN(config, corpus, size, True, by_workers, place())
    for loop in (known, batched):
        loop.start_from(players)
    return {OURS: ours, f"torch, batch {size}": batched, "torch, batch 1": known}


def place() -> torch.device:
    """Returns PyTorch's device: the GPU if jax uses it, too."""
    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, which is jax's default
        return torch.device("cuda")
    return torch.device("cpu")


def in_process(score: Score) -> Scores:
    """Returns a function that computes one score after another in this process."""
    raw = get(score.name)

    def scores(clean: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        values = np.full(len(lengths), np.nan, np.float32)
        for row, length in enumerate(lengths):
            with contextlib.suppress(Unscorable):
                values[row] = raw(clean[row, :length], other[row, :length], SAMPLE_RATE)
        return np.asarray(score.normalise(values))

    return scores


def measured(loop: Loop, number: int) -> dict[str, float]:
    """Returns the losses and the times of a round."""
    timer = PartTimer()
    cpu, wall = throughput.cpu_seconds(), time.perf_counter()
    row = dict(loop.round(number, timer))
    wall, cpu = time.perf_counter() - wall, throughput.cpu_seconds() - cpu
    audio = row["audio seconds"]
    row |= {"audio / s": audio / wall, "audio / CPU s": audio / cpu}
    row |= {"round s": wall, "round CPU s": cpu, "CPU s / audio s": cpu / audio}
    row |= {f"{part} s": seconds for part, seconds in timer.take().items()}
    return row | {f"{part} CPU s": seconds for part, seconds in timer.cpu.items()}


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the median of every figure except the losses."""
    names = [name for name in rounds[0] if not name.endswith("loss")]
    return {name: statistics.median(row[name] for row in rounds) for name in names}


def ratios(rows: Mapping[str, Sequence[Mapping[str, float]]], figure: str) -> dict[str, float]:
    """Returns jaxgan's figure divided by that of every other loop: the median over rounds."""
    return {
        name: statistics.median(
            ours[figure] / theirs[figure] for ours, theirs in zip(rows[OURS], rounds, strict=True)
        )
        for name, rounds in rows.items()
        if name != OURS
    }


def report(figures: Mapping[str, Any]) -> str:
    """Returns the figures as text: one a line, and those of the loops side by side."""
    loops = figures["loops"]
    lines = []
    for title, value in figures.items():
        if title == "loops":
            lines.append(f"{'':>22}" + "".join(f"{name:>18}" for name in loops))
            for name in dict.fromkeys(name for loop in loops.values() for name in loop):
                cells = "".join(f"{loop.get(name, 0.0):>18.3f}" for loop in loops.values())
                lines.append(f"{name:>22}{cells}")
        elif isinstance(value, Mapping):
            lines += [f"{title}: {name}: {shown(item)}" for name, item in value.items()]
        else:
            lines.append(f"{title}: {value}")
    return "\n".join(lines)


def shown(item: float | Mapping[str, float]) -> str:
    """Returns a number, or several by name, as text."""
    if isinstance(item, Mapping):
        return ", ".join(f"{name} {value:.6f}" for name, value in item.items())
    return f"{item:.2f}"


if __name__ == "__main__":
    sys.exit(main())
