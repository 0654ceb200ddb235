"""Every system of MetricGAN's paper at one budget, and scores assigned by the target s.

    python benchmarks/enhancement_table.py [--workdir=runs/enhancement] [--start=12] [--rounds=40]
        [--part=systems|targets|all] [--config.key=value ...]

One run of mask_regression, `--start` rounds long, is where all others begin. From there each system
makes `--rounds` rounds of its own, of as many utterances in batches of the same size, with the same
small networks (those of the preset quick, but the features and the loss of each paper), the same
data and the same average of G's parameters. Only metricgan_plus, whose mask has another shape,
begins with supervised rounds of its own; mask_regression just goes on.

Runs are made by train.py, one after the other, and go on where they were stopped: the same command
again. About an hour on two cores. Then
`jaxgan.speech.evaluation.compare` scores the last checkpoint of each,
so nothing is chosen by its result, and writes table.md and report.html to WORKDIR/report. The part
`targets` assigns PESQ by the target s, as many rounds each, and draws targets.png.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from trained_runs import Settings, train, validations

from jaxgan.speech.evaluation import compare

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
    # As in the preset quick of metricgan; the published ones are for hours, see docs/results.md.
    "generator_learning_rate": 1e-4,
    "discriminator_learning_rate": 2e-3,
}


ASSIGNED: Settings = {
    "score": "pesq_wb",
    # Noisy speech of 3.5: three of the scores asked for lie below it, one above.
    "data.snrs": (25.0, 30.0, 35.0, 40.0),
    "generator_learning_rate": 3e-4,
    "average_decay": 0.9,
    "validation.every": 4,
}


def systems(start: int, rounds: int, begun: Settings) -> dict[str, tuple[str, Settings]]:
    """Config and settings of every row of the table."""
    own = {**begun, "rounds": rounds}
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
    """Trains what is not trained yet, and makes the table and the figure."""
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
    begun = {"init_from": str(first)}
    if options.part != "targets":
        plans = systems(options.start, options.rounds, begun)
        workdirs = [first, *(run(name, *plan) for name, plan in plans.items())]
        flags = [f"--scores={','.join(SCORES)}", "--checkpoint=last"]
        report = options.workdir / "report"
        told = compare.main([*map(str, workdirs), *flags, f"--output={report}"])
        if told:
            return told
        print((report / "table.md").read_text("utf-8"))
    if options.part != "systems":
        settings = {**begun, **DISCRIMINATOR, **ASSIGNED, "warmup_rounds": 0}
        found = {}
        for target in TARGETS:
            assigned = {**settings, "rounds": options.rounds, "target": target}
            workdir = run(f"target_{target}", "metricgan.py:quick", assigned)
            found[target] = validations(workdir, "valid/pesq_wb")
        print(target_table(found))
        draw_targets(found, options.workdir / "targets.png")
    return 0


def target_table(found: Mapping[float, tuple[np.ndarray, np.ndarray]]) -> str:
    """What was asked for, as PESQ, and what was achieved in the last round."""
    heads = " | ".join(f"s = {target}" for target in found)
    asked = " | ".join(f"{as_pesq(target):.2f}" for target in found)
    achieved = " | ".join(f"{values[-1]:.2f}" for _, values in found.values())
    lines = [f"| | {heads} |", f"|---|{'---|' * len(found)}"]
    return "\n".join([*lines, f"| PESQ asked for | {asked} |", f"| achieved | {achieved} |"])


def as_pesq(target: float) -> float:
    """The inverse of the paper's map."""
    return 5.0 * target - 0.5


def draw_targets(found: Mapping[float, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """PESQ over the rounds for every target."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for target, (rounds, values) in found.items():
        (line,) = axes.plot(rounds, values, label=f"s = {target}")
        axes.axhline(as_pesq(target), color=line.get_color(), linestyle=":", linewidth=0.8)
    axes.set(xlabel="round", ylabel="PESQ (dotted: asked for)")
    axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
