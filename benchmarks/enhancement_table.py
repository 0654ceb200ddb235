"""Trains every system of MetricGAN's paper with one budget, and to assigned scores (target s).

    python benchmarks/enhancement_table.py [--workdir=runs/enhancement] [--start=12] [--rounds=40]
        [--part=systems|targets|all] [--config.key=value ...]

All other runs start from one run of mask_regression, which is `--start` rounds long. Each system
then trains for `--rounds` rounds, with the same number of utterances, the same batch size, the same
small networks (those of the preset quick, with the features and the loss of each paper), the same
data and the same average of G's parameters. Only metricgan_plus, whose mask has another shape,
starts with supervised rounds of its own; mask_regression continues its own training.

train.py makes the runs, one after the other; the same command continues runs that were stopped.
This takes about an hour on two cores. Then `jaxgan.compare` scores the last checkpoint of each run,
so no checkpoint is chosen by its result, and writes table.md and report.html to WORKDIR/report. The
part `targets` trains as many rounds for each target s, which assigns a PESQ, and draws targets.png.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from trained_runs import Settings, train, validations

from jaxgan import compare

SCORES = ("pesq_wb", "stoi", "estoi", "csig", "cbak", "covl", "ssnr", "si_sdr")
TARGETS = (0.3, 0.5, 0.7, 1.0)

NETWORKS: Settings = {
    "generator.layers": 1,
    "generator.width": 96,
    "generator.dense": 128,
}
DISCRIMINATOR: Settings = {
    "discriminator.channels": (8, 8, 8),
    "discriminator.kernels": (5, 5, 5),
    "replay.most": 32,
}
BUDGET: Settings = {
    "batch_size": 2,
    "utterances_per_round": 32,
    "average_decay": 0.99,
    "data.buckets": 2,
    "data.longest_seconds": 4,
    "validation.utterances": 32,
    "validation.every": 8,
    "validation.scores": (),
    "scoring.where": "device",
}
PLUS: Settings = {
    # As in the preset quick of metricgan; the published rates need hours.
    "generator_learning_rate": 1e-4,
    "discriminator_learning_rate": 2e-3,
}


ASSIGNED: Settings = {
    "score": "pesq_wb",
    # The PESQ of this noisy speech is 3.5: three assigned scores are below it, one is above.
    "data.snrs": (25.0, 30.0, 35.0, 40.0),
    "generator_learning_rate": 3e-4,
    "average_decay": 0.9,
    "validation.every": 4,
}


def systems(start: int, rounds: int, initial: Settings) -> dict[str, tuple[str, Settings]]:
    """Returns the config and the settings of every row of the table."""
    own = {**initial, "rounds": rounds}
    adversarial = {**own, **DISCRIMINATOR, "warmup_rounds": 0}
    plus = {**DISCRIMINATOR, **PLUS, "warmup_rounds": start, "rounds": start + rounds}
    return {
        "mask_regression": ("mask_regression.py:quick", {"rounds": start + rounds}),
        "cgan": ("cgan.py:quick", own),
        "policy_gradient_P": ("policy_gradient.py:quick", own),
        "metricgan_P": ("metricgan.py:quick", {**adversarial, "score": "pesq_wb"}),
        "metricgan_S": ("metricgan.py:quick", {**adversarial, "score": "stoi"}),
        "metricgan_P_S": ("metricgan.py:quick", {**adversarial, "score": "pesq_wb,stoi"}),
        "metricgan_plus": ("metricgan_plus.py", {**NETWORKS, **plus}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is not trained yet, and makes the table and the figure. Returns the status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/enhancement"))
    parser.add_argument("--start", type=int, default=12, help="supervised rounds (default 12)")
    parser.add_argument("--rounds", type=int, default=40, help="of each system (default 40)")
    parser.add_argument("--part", choices=("systems", "targets", "all"), default="all")
    options, overrides = parser.parse_known_args(arguments)

    def run(name: str, preset: str, settings: Settings) -> Path:
        workdir: Path = options.workdir / name
        train(preset, {**BUDGET, **settings}, overrides, workdir)
        return workdir

    first = run("start", "mask_regression.py:quick", {"rounds": options.start})
    initial = {"init_from": str(first)}
    if options.part != "targets":
        plans = systems(options.start, options.rounds, initial)
        workdirs = [first, *(run(name, *plan) for name, plan in plans.items())]
        flags = [f"--scores={','.join(SCORES)}", "--checkpoint=last"]
        report = options.workdir / "report"
        status = compare.main([*map(str, workdirs), *flags, f"--output={report}"])
        if status:
            return status
        print((report / "table.md").read_text("utf-8"))
    if options.part != "systems":
        settings = {**initial, **DISCRIMINATOR, **ASSIGNED, "warmup_rounds": 0}
        found = {}
        for target in TARGETS:
            own = {**settings, "rounds": options.rounds, "target": target}
            workdir = run(f"target_{target}", "metricgan.py:quick", own)
            found[target] = validations(workdir, "valid/pesq_wb")
        print(target_table(found))
        draw_targets(found, options.workdir / "targets.png")
    return 0


def target_table(found: Mapping[float, tuple[np.ndarray, np.ndarray]]) -> str:
    """Returns a table of the assigned PESQ and of that in the last round."""
    heads = " | ".join(f"s = {target}" for target in found)
    assigned = " | ".join(f"{as_pesq(target):.2f}" for target in found)
    achieved = " | ".join(f"{values[-1]:.2f}" for _, values in found.values())
    lines = [f"| | {heads} |", f"|---|{'---|' * len(found)}"]
    return "\n".join([*lines, f"| assigned PESQ | {assigned} |", f"| achieved | {achieved} |"])


def as_pesq(target: float) -> float:
    """Returns the PESQ that the paper maps to the target s: the inverse of (PESQ + 0.5) / 5."""
    return 5.0 * target - 0.5


def draw_targets(found: Mapping[float, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Draws PESQ over the rounds for every target."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for target, (rounds, values) in found.items():
        (line,) = axes.plot(rounds, values, label=f"s = {target}")
        axes.axhline(as_pesq(target), color=line.get_color(), linestyle=":", linewidth=0.8)
    axes.set(xlabel="round", ylabel="PESQ (dotted: assigned)")
    axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
