"""Repeats the comparison of SeqGAN's paper (its Table 1) with controls, over several seeds.

    python benchmarks/sequence_table.py [--seeds=3] [--epochs=40] [--rounds=100]
        [--workdir=runs/table] [--config.key=value ...]

For every seed it trains one run by likelihood for `--epochs` epochs, on the paper's oracle
(vocabulary 5000, length 20; choose another one with --config.data.oracle=FILE), and from its last
checkpoint `--rounds` adversarial rounds of each arm, with the reduced budget of
configs/seqgan.py:reduced. The arms "of the authors" use their loss without a baseline and their
learning rate of 1e-2. train.py makes the runs one after the other; the same command continues after
an interruption. Hours on two cores.

It prints a table for docs/results_sequences.md: -log p per token of samples under the oracle and of
held-out data under the generator, the number of different tokens in 4,000 samples, and Self-BLEU-2,
at the end of each run, with the mean and the 95 % interval over seeds. No result decides what is
shown. A second table shows how temperatures change the same likelihood runs.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from trained_runs import Settings, train

from jaxgan.core import config as configs
from jaxgan.core import devices, log
from jaxgan.sequences.data.corpora import open_corpus
from jaxgan.sequences.evaluation.sampler import load
from jaxgan.sequences.evaluation.validation import Validation

CONFIG = "seqgan.py"
DISCRIMINATOR_ROUNDS = 5
AUTHORS = {"baseline": False, "policy_learning_rate": 1e-2}
CONTROL = {"discriminator_rounds": 0}
CALLS = "cost/objective_calls"
METRICS = ("eval/nll_oracle", "eval/nll_gen", "eval/distinct", "eval/self_bleu_2")
TEMPERATURES = (1.0, 0.9, 0.8, 0.7)


def arms(rounds: int) -> dict[str, tuple[str, Settings]]:
    """Returns preset and settings of every arm that starts from the likelihood run."""
    seqgan = {"discriminator_rounds": DISCRIMINATOR_ROUNDS, "rounds": DISCRIMINATOR_ROUNDS + rounds}
    control = {**CONTROL, "rounds": rounds}
    return {
        "SeqGAN": ("reduced", seqgan),
        "constant reward": ("reduced", {**control, "judge": "constant"}),
        "random reward": ("reduced", {**control, "judge": "random"}),
        "PG-BLEU": ("pg_bleu", control),
        "SeqGAN, of the authors": ("reduced", {**seqgan, **AUTHORS}),
        "constant reward, of the authors": (
            "reduced",
            {**control, **AUTHORS, "judge": "constant"},
        ),
        "random reward, of the authors": ("reduced", {**control, **AUTHORS, "judge": "random"}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40, help="of likelihood (default 40)")
    parser.add_argument("--rounds", type=int, default=100, help="adversarial ones (default 100)")
    parser.add_argument("--workdir", type=Path, default=Path("runs/table"))
    options, overrides = parser.parse_known_args(arguments)
    likelihood = {"pretrain_rounds": options.epochs, "rounds": options.epochs, **CONTROL}
    # As in the authors' code the share of true tokens falls to 0.4.
    scheduled = {**likelihood, "scheduled_sampling": 0.6 / options.epochs}
    rows: dict[str, list[Path]] = {}
    for seed in range(options.seeds):
        folder = options.workdir / f"seed{seed}"
        parent = folder / "likelihood"
        plans: dict[str, tuple[str, Settings]] = {
            "likelihood": ("reduced", likelihood),
            "scheduled sampling": ("reduced", scheduled),
        }
        start = {"pretrain_rounds": 0, "init_from": str(parent), "init_checkpoint": "last"}
        for name, (preset, settings) in arms(options.rounds).items():
            plans[name] = preset, {**start, **settings}
        for name, (preset, settings) in plans.items():
            workdir = folder / name.replace(" ", "_").replace(",", "")
            train(f"{CONFIG}:{preset}", {"seed": seed, **settings}, overrides, workdir)
            rows.setdefault(name, []).append(workdir)
    print(table(rows, METRICS))
    print(temperatures(rows["likelihood"]))
    return 0


def table(rows: Mapping[str, Sequence[Path]], metrics: Sequence[str]) -> str:
    """Returns the last validation of every arm, and how often its objective was called."""
    lines = ["| arm | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
    for name, workdirs in rows.items():
        last = [{**log.read(workdir)[-1], CALLS: calls(workdir)} for workdir in workdirs]
        cells = [interval([row[metric] for row in last]) for metric in metrics]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def calls(workdir: Path) -> float:
    """Returns how many sequences the objective rated in all rounds of training."""
    return sum(row.get(CALLS, 0.0) for row in log.read(workdir))


def temperatures(workdirs: Sequence[Path]) -> str:
    """Returns a table of the likelihood runs at several sampling temperatures."""
    found: dict[float, list[tuple[float, float]]] = {heat: [] for heat in TEMPERATURES}
    for workdir in workdirs:
        config = configs.read(workdir)
        mesh = devices.make_mesh()
        trained = load(workdir)
        validation = Validation(config, trained.model, open_corpus(config, mesh), mesh)
        for heat in TEMPERATURES:
            drawn = trained.draw(config.validation.samples, temperature=heat)
            distinct = float(len(np.unique(drawn)))
            found[heat].append((validation.nll_oracle(drawn), distinct))
    lines = ["| likelihood at temperature | eval/nll_oracle | eval/distinct |", "|---|---|---|"]
    for heat, pairs in found.items():
        cells = [interval(column) for column in zip(*pairs, strict=True)]
        lines.append(f"| {heat} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def interval(values: Sequence[float]) -> str:
    """Returns the mean and its 95 % interval (Student's t)."""
    mean = float(np.mean(values))
    digits = 0 if mean > 100 else 3
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
