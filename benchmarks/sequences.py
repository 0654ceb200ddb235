"""Measures the parts of SeqGAN in jaxgan and in plain PyTorch.

    pip install -e ".[benchmarks]"
    python benchmarks/sequences.py [--config.key=value ...] [--times=3] [--threads=2]
        [--share=0.1] [--without_torch] [--json=FILE]

    sample        as many sequences as there are data
    likelihood    an epoch of G: every batch of the data
    rewards       of one batch: all prefixes completed `roll_outs` times and judged by D
    discriminator an epoch of D: all data and as many generated sequences

Each part runs once without being measured, when jaxgan compiles, and then `--times` times. The
table has the medians of wall seconds and of CPU seconds of this process. PyTorch runs `--share` of
the batches of an epoch, of the samples, and of a batch's sequences, and its times are scaled up;
jaxgan runs everything. If the machine has other work too, compare the CPU seconds.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import throughput
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.timer import Timer
from jaxgan.sequences.systems import seqgan

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "seqgan.py"
Part = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes JSON if a file is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="to measure each part (default 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--share", type=float, default=0.1, help="that PyTorch runs (default 0.1)")
    parser.add_argument("--without_torch", action="store_true")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options, overrides = parser.parse_known_args(arguments)
    try:
        config = configs.load(str(CONFIG), ["--config.validation.samples=64", *overrides])
        devices.start()
        loops = {"jaxgan": (jaxgan_parts(config), 1.0)}
        if not options.without_torch:
            loops["torch"] = torch_parts(config, options.share, options.threads), options.share
        figures = measure(loops, options.times)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def jaxgan_parts(config: ConfigDict) -> dict[str, Part]:
    """Returns the parts as the recipe runs them."""
    recipe = seqgan.make(config, devices.make_mesh())
    training, timer = recipe.training, Timer()
    state = recipe.init(jax.random.key(config.seed))
    half = config.data.count // config.batch_size * config.batch_size
    many = devices.put_sharded(np.arange(half, dtype=np.int32), training.mesh)
    generated = training.generate(state, many)
    # Half of the rows are of the data, and the others of the generated sequences.
    order = np.random.default_rng(1).permutation(2 * half) + (config.data.count - half)

    def likelihood() -> None:
        nonlocal state
        state, _ = training.likelihood_epoch(state, 1, timer)

    def discriminator() -> jax.Array:
        nonlocal state
        state, _ = training.discriminator_epoch(state, order, generated)
        return state.step

    return {
        "sample": lambda: training.generate(state, many),
        "likelihood": likelihood,
        "rewards": lambda: recipe.explore(state, training.rows),
        "discriminator": discriminator,
    }


def torch_parts(config: ConfigDict, share: float, threads: int) -> dict[str, Part]:
    """Returns a share of the same parts in PyTorch."""
    import torch
    import torch_seqgan

    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    data, batch = config.data, config.batch_size
    generator = torch_seqgan.Generator(data.vocabulary, **config.generator)
    discriminator = torch_seqgan.Discriminator(data.vocabulary, **config.discriminator)
    g_optimizer = torch.optim.Adam(generator.parameters(), config.generator_learning_rate)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate)
    tokens = torch.randint(data.vocabulary, (data.count, data.length))
    labels = torch.randint(2, (data.count,))
    steps = data.count // batch

    def rows(step: int) -> slice:
        return slice(step % steps * batch, (step % steps + 1) * batch)

    def likelihood() -> None:
        for step in range(round(share * steps)):
            torch_seqgan.likelihood_step(
                generator, g_optimizer, tokens[rows(step)], config.gradient_clip
            )

    def discriminate() -> None:
        for step in range(round(share * 2 * steps)):
            chosen = rows(step)
            torch_seqgan.discriminator_step(
                discriminator, d_optimizer, tokens[chosen], labels[chosen], config.penalty
            )

    def sample() -> None:
        for _ in range(round(share * steps)):
            generator.complete(torch.zeros((batch, 0), dtype=torch.int64), data.length)

    def rewards() -> None:
        some = tokens[: max(round(share * batch), 1)]
        torch_seqgan.rewards(generator, discriminator, some, config.roll_outs)

    return {
        "sample": sample,
        "likelihood": likelihood,
        "rewards": rewards,
        "discriminator": discriminate,
    }


def measure(
    loops: Mapping[str, tuple[Mapping[str, Part], float]], times: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns wall and CPU seconds of every part; the loops take turns."""
    parts = next(iter(loops.values()))[0]
    found: dict[str, dict[str, dict[str, float]]] = {part: {} for part in parts}
    for part in parts:
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
        for turn in range(times + 1):
            for name, (functions, share) in loops.items():
                cpu, wall = throughput.cpu_seconds(), time.perf_counter()
                jax.block_until_ready(functions[part]())
                took = time.perf_counter() - wall, throughput.cpu_seconds() - cpu
                if turn:
                    spent[name].append((took[0] / share, took[1] / share))
        for name, pairs in spent.items():
            seconds, cpu_seconds = (
                statistics.median(column) for column in zip(*pairs, strict=True)
            )
            found[part][name] = {"s": seconds, "CPU s": cpu_seconds}
            print(f"{part}: {name}: {seconds:.2f} s, {cpu_seconds:.2f} CPU s", file=sys.stderr)
    return found


def report(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Returns the figures as a table."""
    names = list(next(iter(figures.values())))
    lines = [f"{'part':<14}" + "".join(f"{name + ' s':>12}{'CPU s':>10}" for name in names)]
    for part, loops in figures.items():
        cells = "".join(f"{loops[name]['s']:>12.2f}{loops[name]['CPU s']:>10.2f}" for name in names)
        lines.append(f"{part:<14}{cells}")
    place = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return "\n".join([*lines, f"jaxgan on {place}"])


if __name__ == "__main__":
    sys.exit(main())
