"""Makes the tables of docs/results_translation.md: the effect of each system's term, with seeds.

    python benchmarks/translation_table.py --rows=pix2pix,cyclegan [--seeds=3] [--budget=1]
        [--data=glyphs|mnist|fashion_mnist] [--root=DIR] [--workdir=runs/translation_table]
        [--pictures=DIR] [--config.key=value ...]

Every row is a system and its controls, with the same number of updates:
    pix2pix       L1 only; without L1; D does not see what is translated
    cyclegan      without the cycle
    distance_gan  without the distances
    dtn           without the features
    contrast_gan  without the contrasting loss; CycleGAN. Always on the built-in overlays
    crn           a single image of each layout; the same that compares pixels, not features
    srgan         bicubic enlargement; SRResNet, trained as long as SRGAN
    lapgan        untrained; without bands
    stackgan      the first stage alone; that without augmentation; captions exchanged
    vari_gan      the first stage alone; another image; the other view

train.py makes the runs, one after the other; the same command continues after an interruption.
--budget=1 means the updates of the presets `quick`, and other budgets that share of the rounds.

Each number is the mean over seeds and the half width of its 95 % interval (Student's t), at the
last validation. The mean over seeds of the best validation is in brackets where it differs; it is
chosen by the column's own metric, so it is optimistic. translation_measures.py measures the last
checkpoint. Checks compare runs of the same seed. WORKDIR/tables.md and WORKDIR/tables.json, with
the values of every seed, are written after every system, and a picture of each system's images goes
to the folder --pictures.

translation_systems.py has the systems, to which others can be added.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trained_runs import (
    ROOT,
    Column,
    Settings,
    classifier_of,
    data_of,
    interval,
    of_seeds,
    scaled,
    series,
    train_timed,
)
from translation_measures import Measured
from translation_systems import HELD_OUT, SYSTEMS, Check, Run, System, Validations

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.images.evaluation.grids import image_grid, png
from jaxgan.reporting.statistics import mean_and_half_width
from jaxgan.reporting.tables import Cell, Table, or_none, to_markdown

KINDS = ("glyphs", "mnist", "fashion_mnist")
TRAINED = 4000
"""Digits that are drawn for training, as in the presets."""
ENLARGED = 2
"""Pixels of a picture's side for each pixel of an image."""


@dataclass(frozen=True)
class Found:
    """The results of a system.

    Attributes:
        seeds: the validations of each seed, with the rows that are not runs.
        seconds: CPU seconds, by run and seed.
        pictures: the images that the runs of the first seed made, by run.
    """

    seeds: list[dict[str, dict[str, list[float]]]]
    seconds: dict[str, list[float]]
    pictures: dict[str, Measured]


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and writes the tables. Returns the exit status."""
    options, overrides = parse(arguments)
    options.workdir.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    found: dict[str, object] = {
        "seeds": options.seeds,
        "budget": options.budget,
        "data": options.data,
        "settings": overrides,
    }
    for name in options.rows:
        system = SYSTEMS[name]()
        results = train_all(name, system, options, overrides)
        checked = check(system, results)
        found[name] = as_json(results, checked)
        tables = table(name, system, results, options), table_of_checks(checked)
        texts.append("\n".join([tables[0].title, "", *map(to_markdown, tables)]))
        (options.workdir / "tables.md").write_text("\n".join(texts), "utf-8")
        (options.workdir / "tables.json").write_text(json.dumps(found, indent=1) + "\n")
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            picture = draw([results.pictures[run.name] for run in system.runs])
            (options.pictures / f"{name}.png").write_bytes(png(picture))
        print(texts[-1], flush=True)
    return 0


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, with `rows` in their order, and settings for every run."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--rows", default=",".join(SYSTEMS), help=f"of {','.join(SYSTEMS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the updates; default 1")
    parser.add_argument("--data", choices=KINDS, default="glyphs")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the data")
    parser.add_argument("--workdir", type=Path, default=Path("runs/translation_table"))
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each system")
    options, overrides = parser.parse_known_args(arguments)
    chosen = options.rows.split(",")
    for wrong in sorted(set(chosen) - set(SYSTEMS)):
        parser.error(f"--rows={wrong}: choose from {', '.join(SYSTEMS)}")
    for wrong in [flag for flag in overrides if not flag.startswith("--config.")]:
        parser.error(f"{wrong}: no such option")
    if options.data != "glyphs" and options.root == Path():
        parser.error(f"--root: name the folder of --data={options.data}")
    options.rows = [name for name in SYSTEMS if name in chosen]
    return options, overrides


def settings_of(system: System, run: Run, options: argparse.Namespace) -> dict[str, object]:
    """Returns a run's changes to its preset, apart from its seed and the runs that it needs."""
    config = configs.load(str(ROOT / "configs" / run.preset))
    updates = {key: config[key] for key in ("rounds", "steps_per_round")} | dict(run.updates)
    rounds, steps = scaled(updates["rounds"], updates["steps_per_round"], options.budget)
    settings = {
        **(system.data or data_settings(options)),
        **run.settings,
        "rounds": rounds,
        "steps_per_round": steps,
        "validation.every": max(1, rounds // 4),
        "validation.samples": HELD_OUT,
        "checkpoint.every": 1,
    }
    if "decay" in config and config.decay.rounds:
        settings |= {"decay.start": rounds // 2, "decay.rounds": rounds - rounds // 2}
    for key, start in (
        ("drop.start", config.get("drop", {}).get("start")),
        ("first_rounds", config.get("first_rounds")),
    ):
        if start is not None:
            settings[key] = min(max(1, round(rounds * start / config.rounds)), rounds - 1)
    return settings


def data_settings(options: argparse.Namespace) -> dict[str, object]:
    """Returns the settings that choose the data."""
    if options.data == "glyphs":
        return {"data.kind": "glyphs", "data.train": TRAINED, "data.valid": HELD_OUT}
    return data_of(options.data, options.root)


def train_all(
    name: str, system: System, options: argparse.Namespace, overrides: Sequence[str]
) -> Found:
    """Trains all runs of a system, and measures them."""
    features: Settings = {}
    if system.classifier:
        features = {"features": str(classifier_of(options.data, options.root, options.workdir))}
    seeds, pictures = [], {}
    seconds: dict[str, list[float]] = {run.name: [] for run in system.runs}
    for seed in range(options.seeds):
        rows: dict[str, dict[str, list[float]]] = {}
        for run in system.runs:
            folders = {
                each.name: options.workdir / name / each.name.replace(" ", "_").replace(",", "")
                for each in system.runs
            }
            workdir = folders[run.name] / f"seed{seed}"
            settings = {**settings_of(system, run, options), **features, "seed": seed}
            if run.start:
                settings["init_from"] = str(folders[run.start] / f"seed{seed}")
            seconds[run.name].append(train_timed(run.preset, settings, overrides, workdir))
            measured = system.measure(workdir)
            rows[run.name] = series(log.read(workdir)) | as_series(measured.rows[""])
            for beside in sorted(measured.rows.keys() - {""}):
                rows.setdefault(beside, as_series(measured.rows[beside]))
            if not seed:
                pictures[run.name] = measured
        seeds.append(rows)
    return Found(seeds, seconds, pictures)


def as_series(metrics: Mapping[str, float]) -> dict[str, list[float]]:
    """Returns metrics in the form of validations."""
    return {name: [value] for name, value in metrics.items()}


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        check: what was checked.
        values: the values of each seed [seeds].
        passed: whether their mean is within the limits.
    """

    check: Check
    values: np.ndarray
    passed: bool


def check(system: System, found: Found) -> list[Checked]:
    """Returns the results of a system's checks."""
    results = []
    for each in system.checks:
        values = np.array([each.value(seed) for seed in found.seeds], float)
        passed = bool(each.low <= values.mean() <= each.high)
        results.append(Checked(each, values, passed))
    return results


def as_json(found: Found, checked: Sequence[Checked]) -> dict[str, object]:
    """Returns the results of a system for tables.json."""
    return {
        "validations of each seed": [
            {
                run: {metric: list(map(or_none, values)) for metric, values in metrics.items()}
                for run, metrics in seed.items()
            }
            for seed in found.seeds
        ],
        "CPU seconds of each seed": found.seconds,
        "checks": [
            {
                "check": each.check.text,
                "required": required(each.check),
                "values of each seed": list(map(or_none, each.values.tolist())),
                "passed": each.passed,
            }
            for each in checked
        ],
    }


def table(name: str, system: System, found: Found, options: argparse.Namespace) -> Table:
    """Returns the table of a system: its runs, and the rows that need no training."""
    body = []
    names = dict.fromkeys(row for seed in found.seeds for row in seed)
    for row in sorted(names, key=lambda each: each not in found.seconds):
        values = [seed[row] for seed in found.seeds]
        cells = [Cell(row), *(Cell(last_and_best(values, column)) for column in system.columns)]
        seconds = found.seconds.get(row)
        body.append([*cells, Cell(interval(np.array(seconds), 0) if seconds else "-")])
    data = "overlays" if system.data else options.data
    title = f"`{name}`, {data}, {options.seeds} seeds, budget {options.budget:g}"
    headings = [name, *(column.heading for column in system.columns), "CPU s of a seed"]
    return Table(headings, body, title)


def last_and_best(values: Sequence[Validations], column: Column) -> str:
    """Returns the last validation with its interval, and the mean best one where it differs."""
    text = interval(of_seeds(values, column, "last"), column.digits)
    best = of_seeds(values, column, "best")
    if not len(best):
        return text
    mean = f"{mean_and_half_width(best)[0]:.{column.digits}f}"
    return text if text.split(" ")[0] == mean else f"{text} ({mean})"


def table_of_checks(checked: Sequence[Checked]) -> Table:
    """Returns the table of a system's checks."""
    body = [
        [
            Cell(each.check.text),
            Cell(significant(each.values)),
            Cell(required(each.check)),
            Cell("passed" if each.passed else "missed"),
        ]
        for each in checked
    ]
    return Table(["check", "found", "required", ""], body)


def significant(values: np.ndarray) -> str:
    """Returns the mean and its 95 % interval with three significant digits."""
    mean, half = mean_and_half_width(values)
    return f"{mean:.3g}" + (f" ± {half:.2g}" if math.isfinite(half) else "")


def required(check: Check) -> str:
    """Returns the limits of a check as text."""
    limits = {"at least": check.low, "at most": check.high}
    return ", ".join(f"{text} {limit:g}" for text, limit in limits.items() if math.isfinite(limit))


def draw(runs: Sequence[Measured]) -> np.ndarray:
    """Returns a picture of a system, uint8 [height, width, 3].

    For each direction it has a line of inputs, one of the outputs of each run, and one of targets
    where there are pairs.
    """
    lines = []
    for way, inputs in runs[0].inputs.items():
        lines += [inputs, *(run.outputs[way] for run in runs)]
        lines += [runs[0].targets[way]] if way in runs[0].targets else []
    grid = image_grid(np.concatenate(lines), columns=len(lines[0]))
    return grid.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


if __name__ == "__main__":
    sys.exit(main())
