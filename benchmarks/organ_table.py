"""Compares ORGAN with its controls, over several seeds.

    python benchmarks/organ_table.py [--preset=molecules] [--seeds=3]
        [--workdir=runs/organ] [--config.key=value ...]

For every seed it trains one run by likelihood, for the pretraining rounds of configs/organ.py, and
from its last checkpoint the other rounds of that config for each arm: ORGAN; a constant instead of
D; only the objective (a share of 0 for D); and only D (a share of 1, which is SeqGAN). train.py
makes the runs one after the other; the same command continues after an interruption. A few minutes
per seed on one core.

It prints the last validations as a table for docs/results_sequences.md: the mean objective over all
samples (failures count as 0) and over those that have one, the share that has one, the share of
these that differ, the share of those that are not in the data, their diversity, -log p per token of
held-out data, and how many sequences the objective rated; with the mean and the 95 % interval over
seeds. No result decides what is shown.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sequence_table import CALLS, table
from trained_runs import ROOT, Settings, train

from jaxgan.core import config as configs

CONFIG = "organ.py"
METRICS = (
    "eval/objective",
    "eval/objective_valid",
    "eval/validity",
    "eval/uniqueness",
    "eval/novelty",
    "eval/diversity",
    "eval/nll_gen",
    CALLS,
)
CONTROL: Settings = {"discriminator_rounds": 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="", help="of configs/organ.py (default: tunes)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/organ"))
    options, overrides = parser.parse_known_args(arguments)
    preset = f"{CONFIG}:{options.preset}" if options.preset else CONFIG
    config = configs.load(str(ROOT / "configs" / preset), overrides)
    pretraining, of_discriminator = config.pretrain_rounds, config.discriminator_rounds
    adversarial = config.rounds - pretraining - of_discriminator
    control = {**CONTROL, "rounds": adversarial}
    arms: dict[str, Settings] = {
        "ORGAN": {"rounds": of_discriminator + adversarial},
        "constant instead of D": {**control, "judge": "constant"},
        "only the objective": {**control, "share": 0.0},
        "only D (SeqGAN)": {"rounds": of_discriminator + adversarial, "share": 1.0},
    }
    rows: dict[str, list[Path]] = {}
    for seed in range(options.seeds):
        folder = options.workdir / (options.preset or "tunes") / f"seed{seed}"
        parent = folder / "likelihood"
        start = {"pretrain_rounds": 0, "init_from": parent, "init_checkpoint": "last"}
        plans: dict[str, Settings] = {"likelihood": {**CONTROL, "rounds": pretraining}}
        plans |= {name: {**start, **settings} for name, settings in arms.items()}
        for name, settings in plans.items():
            workdir = folder / name.split(" (")[0].replace(" ", "_")
            train(preset, {"seed": seed, **settings}, overrides, workdir)
            rows.setdefault(name, []).append(workdir)
    print(table(rows, METRICS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
