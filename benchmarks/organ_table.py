"""ORGAN beside its controls, over several seeds.

    python benchmarks/organ_table.py [--preset=molecules] [--seeds=3]
        [--workdir=runs/organ] [--config.key=value ...]

For every seed: one run of likelihood, as long as configs/organ.py has it before the first
adversarial round, and from its last checkpoint the rest of that config for each arm: ORGAN; a
constant in the place of D; the objective alone (a share of 0 for D); and D alone (a share of 1,
that is SeqGAN). Runs are made by train.py, one after the other, and go on where they were stopped:
the same command again. A few minutes a seed on one core.

Printed, as a table for docs/results.md, the last validation: the objective's mean over all samples
(failures as 0) and over those that have one, how many have, how many of these differ, how many of
those the data do not have, their diversity, -log p per token of held-out data; and how often the
objective was asked. Mean and 95 % interval over seeds. Nothing is chosen by its result.
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
    """Trains what is not trained yet, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="", help="of configs/organ.py (default: tunes)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/organ"))
    options, overrides = parser.parse_known_args(arguments)
    preset = f"{CONFIG}:{options.preset}" if options.preset else CONFIG
    config = configs.load(str(ROOT / "configs" / preset), overrides)
    pretraining, judging = config.pretrain_rounds, config.discriminator_rounds
    adversarial = config.rounds - pretraining - judging
    control = {**CONTROL, "rounds": adversarial}
    arms: dict[str, Settings] = {
        "ORGAN": {"rounds": judging + adversarial},
        "constant in the place of D": {**control, "judge": "constant"},
        "objective alone": {**control, "share": 0.0},
        "D alone (SeqGAN)": {"rounds": judging + adversarial, "share": 1.0},
    }
    rows: dict[str, list[Path]] = {}
    for seed in range(options.seeds):
        folder = options.workdir / (options.preset or "tunes") / f"seed{seed}"
        parent = folder / "likelihood"
        begun = {"pretrain_rounds": 0, "init_from": parent, "init_checkpoint": "last"}
        plans: dict[str, Settings] = {"likelihood": {**CONTROL, "rounds": pretraining}}
        plans |= {name: {**begun, **settings} for name, settings in arms.items()}
        for name, settings in plans.items():
            workdir = folder / name.split(" (")[0].replace(" ", "_")
            train(preset, {"seed": seed, **settings}, overrides, workdir)
            rows.setdefault(name, []).append(workdir)
    print(table(rows, METRICS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
