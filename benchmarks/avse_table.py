"""Fine-tunes a trained enhancer on several rewards and controls, and tables what each changes.

    python benchmarks/avse_table.py [--start=RUN,RUN,... | --recipe=avse|mask_regression]
        [--preset=mask_ppo.py:PRESET] [--seeds=3] [--budget=1] [--workdir=runs/avse_table]
        [--config.key=value ...]

Every seed starts from one of the runs `--start`, in turn. Without `--start`, each seed first trains
the preset quick of `--recipe`: for avse, two talkers at 0 dB with noise. Then mask_ppo.py trains,
with the start's network and data, for the same updates:

    pretrained            no updates: the start
    anchor only           the supervised anchor without a reward and without a divergence
    shuffled rewards      each utterance gets the rewards (words) of another one of its batch
    DNSMOS                the reward is DNSMOS, if it is installed
    words                 the reward is words
    words without KL      the same without the divergence from the start
    words, K = 1          the reward of one mask, compared with that of the start's mask
    words, K = 4          the mean over four such masks

An effect of the reward must exceed those of the first three rows. The scores are those of all
held-out utterances after the last round: voices, sentences and mixtures that no training has seen,
with new draws of the noise. An avse network sees the right video.

train.py makes the runs, one after the other; the same command continues after an interruption.
--budget=1 is 400 utterances for each run; --budget=0.1 has a tenth of them, and starts with a tenth
of the rounds. WORKDIR/table.md has the mean over seeds and the half width of its 95 % interval
(Student's t), for the values and for their differences, seed by seed, from "pretrained" and from
"anchor only"; table.json has the value of every seed and the CPU time.
"""

import argparse
import json
import math
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from trained_runs import ROOT, Settings, train

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.reporting.statistics import mean_and_half_width
from jaxgan.reporting.tables import Cell, Table, or_none, to_markdown
from jaxgan.scores.registry import installed

SCORES = {"pesq_wb": 2, "stoi": 3, "si_sdr": 2, "dnsmos_ovr": 2, "words": 2}
"""The columns, with their digits after the point."""
OTHERS = {"reward gain": ("train/reward_gain", 3), "KL": ("train/divergence", 4)}
"""Columns of the last round in training: by how much the reward of the drawn masks exceeds that of
the start's mask, and the divergence from the start in nats a cell."""
UTTERANCES, ROUNDS = 400, 8
PRESETS = {"avse": "mask_ppo.py:avse_quick", "mask_regression": "mask_ppo.py:quick"}
NOISE: Settings = {"data.talking.noise_snrs": (5.0, 10.0, 15.0)}
"""Settings of a start on two talkers, in addition to those of the preset quick; our choice."""
COPIED = ("data", "dtype", "feature", "front_end", "generator", "video")
"""Keys and parts of the config that fine-tuning takes from the start."""
RELATIVE: Settings = {"baseline": "base"}


def rows() -> dict[str, Settings]:
    """Returns the settings of every row."""
    found: dict[str, Settings] = {
        "pretrained": {"generator_learning_rate": 0.0, "rounds": 1, "validation.every": 1},
        "anchor only": {"policy_weight": 0.0, "divergence_weight": 0.0},
        "shuffled rewards": {"shuffle_rewards": True},
        "DNSMOS": {"score": "dnsmos_ovr"},
        "words": {},
        "words without KL": {"divergence_weight": 0.0},
        "words, K = 1": {**RELATIVE, "samples": 1},
        "words, K = 4": {**RELATIVE, "samples": 4},
    }
    if "dnsmos_ovr" not in installed():
        print("DNSMOS is not installed: its row and its column are left out")
        del found["DNSMOS"]
    return found


def budget_settings(budget: float) -> Settings:
    """Returns the settings that all runs of a budget share."""
    rounds = min(ROUNDS, max(1, round(UTTERANCES * budget / 8)))
    return {
        "score": "words",
        "rounds": rounds,
        "utterances_per_round": max(8, round(UTTERANCES * budget / rounds)),
        "batch_size": 8,
        "average_decay": 0.0,
        "validation.utterances": 0,
        "validation.every": rounds,
        "scoring.where": "host",
        "validation.scores": tuple(name for name in SCORES if name in installed()),
        "checkpoint.every": rounds,
    }


def of_start(start: Path, preset: str) -> Settings:
    """Returns the settings of the start that the preset has, too."""
    theirs = configs.flat(configs.read(start))
    known = configs.flat(configs.load(str(ROOT / "configs" / preset)))
    return {key: theirs[key] for key in known if key.split(".")[0] in COPIED and key in theirs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and writes the table. Returns the exit status."""
    options, overrides = parse(arguments)
    options.workdir.mkdir(parents=True, exist_ok=True)
    starts = options.start or [pretrain(options, seed) for seed in range(options.seeds)]
    preset = options.preset or PRESETS[configs.read(starts[0]).recipe]
    plans = rows()
    values: dict[str, list[dict[str, float]]] = {name: [] for name in ("noisy", *plans)}
    for seed in range(options.seeds):
        start = starts[seed % len(starts)]
        common = {
            **of_start(start, preset),
            **budget_settings(options.budget),
            "seed": seed,
            "init_from": str(start),
        }
        for name, settings in plans.items():
            workdir = options.workdir / "_".join(re.findall(r"\w+", name)) / f"seed{seed}"
            train(preset, {**common, **settings}, overrides, workdir)
            last = log.read(workdir)[-1]
            values[name].append(measured(last, ""))
            if name == "pretrained":
                values["noisy"].append(measured(last, "_noisy"))
        write(values, options, seed + 1)
    print((options.workdir / "table.md").read_text("utf-8"))
    return 0


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, and settings for the runs that fine-tune."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--start", help="runs to start from, separated by commas")
    parser.add_argument("--recipe", choices=tuple(PRESETS), default="avse")
    parser.add_argument("--preset", help="of mask_ppo; the default fits the start's quick preset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the updates; default 1")
    parser.add_argument("--workdir", type=Path, default=Path("runs/avse_table"))
    options, overrides = parser.parse_known_args(arguments)
    for wrong in [flag for flag in overrides if not flag.startswith("--config.")]:
        parser.error(f"{wrong}: no such option")
    if options.budget <= 0 or options.seeds < 1:
        parser.error("give a --budget above 0, and --seeds of 1 or more")
    options.start = [Path(name) for name in options.start.split(",")] if options.start else []
    for missing in [start for start in options.start if not (start / "config.json").exists()]:
        parser.error(f"--start={missing}: no run of train.py")
    recipe = configs.read(options.start[0]).recipe if options.start else options.recipe
    if recipe not in PRESETS and not options.preset:
        parser.error(f"--start={options.start[0]}: its recipe is {recipe}; give --preset")
    return options, overrides


def pretrain(options: argparse.Namespace, seed: int) -> Path:
    """Trains the start of a seed if it is missing. Returns its folder."""
    workdir: Path = options.workdir / f"start_{options.recipe}" / f"seed{seed}"
    preset = f"{options.recipe}.py:quick"
    usual = configs.load(str(ROOT / "configs" / preset))
    settings = {"seed": seed, "rounds": max(1, math.ceil(usual.rounds * min(options.budget, 1)))}
    noise = NOISE if options.recipe == "avse" else {}
    train(preset, {**settings, **noise}, [], workdir)
    return workdir


def measured(row: Mapping[str, float | None], suffix: str) -> dict[str, float]:
    """Returns the table's columns from a row of metrics.jsonl; a missing value is NaN.

    Args:
        row: of the last round.
        suffix: "_noisy" for the scores of the noisy speech, or "".
    """
    names = {score: f"valid/{score}{suffix}" for score in SCORES}
    if not suffix:
        names |= {heading: metric for heading, (metric, _) in OTHERS.items()}
    found = {heading: row.get(metric) for heading, metric in names.items()}
    return {heading: math.nan if value is None else value for heading, value in found.items()}


def write(
    values: Mapping[str, Sequence[Mapping[str, float]]], options: argparse.Namespace, seeds: int
) -> None:
    """Writes table.md and table.json with the seeds that are complete."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    hours = (used.ru_utime + used.ru_stime) / 3600
    title = f"{seeds} seeds, budget {options.budget:g}"
    tables = [table(values, title)]
    for control in ("pretrained", "anchor only"):
        names = list(values)
        later = {name: values[name] for name in names[names.index(control) + 1 :]}
        tables.append(table(differences(later, values[control]), f"minus {control}, {title}"))
    text = "\n".join(f"{each.title}\n\n{to_markdown(each)}" for each in tables)
    (options.workdir / "table.md").write_text(text, "utf-8")
    plain = {
        name: [{key: or_none(value) for key, value in seed.items()} for seed in each]
        for name, each in values.items()
    }
    found = {"budget": options.budget, "CPU hours of this call": hours, "rows": plain}
    (options.workdir / "table.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def differences(
    values: Mapping[str, Sequence[Mapping[str, float]]], control: Sequence[Mapping[str, float]]
) -> dict[str, list[dict[str, float]]]:
    """Returns the values minus those of the same seed of a control."""
    return {
        name: [
            {key: value - other[key] for key, value in seed.items()}
            for seed, other in zip(seeds, control, strict=True)
        ]
        for name, seeds in values.items()
    }


def table(values: Mapping[str, Sequence[Mapping[str, float]]], title: str) -> Table:
    """Returns the mean and the interval of every column that some row has."""
    digits = SCORES | {heading: places for heading, (_, places) in OTHERS.items()}
    shown = [
        heading
        for heading in digits
        if any(
            math.isfinite(seed.get(heading, math.nan)) for each in values.values() for seed in each
        )
    ]
    body = [
        [Cell(name), *(Cell(interval(each, heading, digits[heading])) for heading in shown)]
        for name, each in values.items()
    ]
    return Table(["", *shown], body, title)


def interval(seeds: Sequence[Mapping[str, float]], heading: str, digits: int) -> str:
    """Returns the mean over seeds and its 95 % interval as text."""
    found = np.array([seed.get(heading, math.nan) for seed in seeds], float)
    found = found[np.isfinite(found)]
    if not len(found):
        return "-"
    mean, half = mean_and_half_width(found)
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")


if __name__ == "__main__":
    sys.exit(main())
