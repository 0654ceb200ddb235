"""Compares training in bfloat16 with training in float32, over several seeds.

    python benchmarks/dtypes.py [--config=metricgan.py:quick] [--seeds=3] [--workdir=runs/dtypes]
        [--config.key=value ...]

Trains one run for every seed and dtype with train.py, one after the other; the same command
continues runs that were stopped. Prints the validation score of every run at its best round and at
its last, and the difference of the means over seeds. It takes a quarter of an hour on two cores.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from trained_runs import ROOT, train, validations

from jaxgan.core import config as configs

DTYPES = ("float32", "bfloat16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is not trained yet, and prints the table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--config", default="metricgan.py:quick", help="a file of the folder configs"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/dtypes"))
    options, overrides = parser.parse_known_args(arguments)
    config = configs.load(str(ROOT / "configs" / options.config), overrides)
    found = {}
    for seed in range(options.seeds):
        for dtype in DTYPES:
            workdir = options.workdir / f"{dtype}_seed{seed}"
            train(options.config, {"seed": seed, "dtype": dtype}, overrides, workdir)
            _, found[seed, dtype] = validations(workdir, f"valid/{config.score}")
    print(table(config.score, found))
    return 0


def table(score: str, found: Mapping[tuple[int, str], np.ndarray]) -> str:
    """Returns the table: a row for each seed and the mean, columns by best or last and dtype."""
    seeds = sorted({seed for seed, _ in found})
    heads = [f"{dtype}, {which}" for which in ("best", "last") for dtype in DTYPES]
    cells = np.array(
        [
            [of(found[seed, dtype]) for of in (np.max, lambda v: v[-1]) for dtype in DTYPES]
            for seed in seeds
        ]
    )
    names = [*(f"seed {seed}" for seed in seeds), "mean"]
    rows = [
        f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in row) + " |"
        for name, row in zip(names, [*cells, cells.mean(0)], strict=True)
    ]
    best, last = np.diff(cells.mean(0).reshape(2, 2)).ravel()
    summary = f"bfloat16 minus float32: {best:+.3f} at the best round, {last:+.3f} at the last"
    lines = [f"| {score} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads), *rows]
    return "\n".join([*lines, "", summary])


if __name__ == "__main__":
    sys.exit(main())
