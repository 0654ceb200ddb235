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

A further system is a function that returns its `System`, and a line in `SYSTEMS`.
"""

import argparse
import functools
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from translation_measures import (
    Measured,
    captioned,
    cycles,
    labels,
    outside,
    pyramid,
    several,
    translated,
    views,
)

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.images.evaluation.grids import image_grid, png
from jaxgan.reporting.statistics import mean_and_half_width
from jaxgan.reporting.tables import Cell, Table, or_none, to_markdown

KINDS = ("glyphs", "mnist", "fashion_mnist")
TRAINED, HELD_OUT = 4000, 1000
"""Digits that are drawn for training, as in the presets, and for validation; of other data, how
many held-out images are translated."""
ENLARGED = 2
"""Pixels of a picture's side for each pixel of an image."""

Validations = Mapping[str, Sequence[float]]
"""The validations of a run by metric; a single measurement counts as one validation."""
Seed = Mapping[str, Validations]
"""The runs of a seed by name."""
Value = Callable[[Seed], float]
"""What a check computes of the runs of a seed."""


@dataclass(frozen=True)
class Run:
    """A run of every seed.

    Attributes:
        name: the name of the system or the control.
        preset: the preset of configs.
        settings: the settings that differ from the preset, apart from data and rounds.
        start: the name of the run whose networks it starts from; "" for none.
        updates: `rounds` and `steps_per_round` at budget 1, where they differ from the preset.
    """

    name: str
    preset: str
    settings: Settings = field(default_factory=dict)
    start: str = ""
    updates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """What a system must show.

    Attributes:
        text: the comparison in words.
        value: computes the value for a seed.
        low: the least mean over seeds that passes.
        high: the greatest.
    """

    text: str
    value: Value
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class System:
    """A system of the tables.

    Attributes:
        runs: the system first, then its controls.
        columns: the columns of its table.
        checks: the checks that it must pass.
        measure: measures the last checkpoint of a run.
        classifier: whether the runs need a classifier of the same images.
        data: settings in place of those that the flags choose.
    """

    runs: Sequence[Run]
    columns: Sequence[Column]
    checks: Sequence[Check]
    measure: Callable[[Path], Measured]
    classifier: bool = False
    data: Settings | None = None


def at_end(run: str, metric: str) -> Value:
    """Returns a function that gives a metric of a run at its end."""
    return lambda seed: seed[run][metric][-1]


def ratio(run: str, other: str, metric: str) -> Value:
    """Returns a function that gives a metric of a run over that of another."""
    return lambda seed: seed[run][metric][-1] / seed[other][metric][-1]


def excess(run: str, other: str, metric: str) -> Value:
    """Returns a function that gives a metric of a run minus that of another."""
    return lambda seed: seed[run][metric][-1] - seed[other][metric][-1]


def closest_to_one(values: Sequence[float]) -> float:
    """Returns the value that is closest to 1; the best sharpness."""
    return min(values, key=lambda value: abs(value - 1))


def of_pairs(way: str) -> tuple[Column, ...]:
    """Returns the columns of a direction that compare translations with their partners."""
    to = "" if way == "a_to_b" else ", b to a"
    return (
        Column(f"`l1`{to}", f"eval/l1_{way}", min, 3),
        Column(f"`ssim`{to}", f"eval/ssim_{way}", max),
        Column(f"`sharpness`{to}", f"eval/sharpness_{way}", closest_to_one),
    )


def pix2pix() -> System:
    """Returns pix2pix, and its controls: L1 only, without L1, and a D that does not see x."""
    kept, sharp = "labels_a_to_b", "eval/sharpness_a_to_b"
    l1 = functools.partial(ratio, metric="eval/l1_a_to_b")
    return System(
        runs=(
            Run("pix2pix", "pix2pix.py:quick"),
            Run("L1 only", "pix2pix.py:quick", {"adversarial_weight": 0.0}),
            Run("without L1", "pix2pix.py:quick", {"l1_weight": 0.0}),
            Run("D does not see x", "pix2pix.py:quick", {"conditional": False}),
        ),
        columns=(*of_pairs("a_to_b"), Column("labels kept", kept, max)),
        checks=(
            Check("`l1` over that of L1 only", l1("pix2pix", "L1 only"), high=1.1),
            Check("`sharpness`", at_end("pix2pix", sharp), 0.9, 1.15),
            Check("`sharpness` of L1 only", at_end("L1 only", sharp), high=0.8),
            Check("`l1` over that without L1", l1("pix2pix", "without L1"), high=1.0),
            Check(
                "labels kept, minus those of a D that does not see x",
                excess("pix2pix", "D does not see x", kept),
                low=0.0,
            ),
        ),
        measure=functools.partial(translated, extras=(labels,)),
    )


def cyclegan() -> System:
    """Returns CycleGAN, and the same without the cycle; the pairs are hidden from both."""
    without = "without the cycle"
    return System(
        runs=(
            Run("CycleGAN", "cyclegan.py:quick"),
            Run(without, "cyclegan.py:quick", {"cycle_weight": 0.0}),
        ),
        columns=(
            *of_pairs("a_to_b"),
            *of_pairs("b_to_a"),
            Column("cycle of a", "cycle_a_to_b", min, 3),
            Column("cycle of b", "cycle_b_to_a", min, 3),
        ),
        checks=(
            *(
                Check(
                    f"`l1` of hidden pairs over that without the cycle, {way.replace('_', ' ')}",
                    ratio("CycleGAN", without, f"eval/l1_{way}"),
                    high=0.75,
                )
                for way in ("a_to_b", "b_to_a")
            ),
            Check("cycle of a", at_end("CycleGAN", "cycle_a_to_b"), high=0.1),
            Check("cycle of b", at_end("CycleGAN", "cycle_b_to_a"), high=0.1),
        ),
        measure=functools.partial(translated, extras=(cycles,)),
    )


def distance_gan() -> System:
    """Returns DistanceGAN, and the same without distances."""
    kept, without = "eval/distance_correlation_a_to_b", "without distances"
    return System(
        runs=(
            Run("DistanceGAN", "distance_gan.py:quick"),
            Run(without, "distance_gan.py:quick", {"distance_weight": 0.0}),
        ),
        columns=(
            Column("`distance_correlation`", kept, max),
            *of_pairs("a_to_b"),
            Column("labels kept", "labels_a_to_b", max),
        ),
        checks=(
            Check("`distance_correlation`", at_end("DistanceGAN", kept), low=0.8),
            Check(
                "`distance_correlation`, minus that without distances",
                excess("DistanceGAN", without, kept),
                low=0.2,
            ),
        ),
        measure=functools.partial(translated, extras=(labels,)),
    )


def dtn() -> System:
    """Returns DTN, and the same without features."""
    kept, without = "labels_b_to_a", "without features"
    return System(
        runs=(
            Run("DTN", "dtn.py:quick"),
            Run(without, "dtn.py:quick", {"feature_weight": 0.0}),
        ),
        columns=(Column("labels kept", kept, max), *of_pairs("b_to_a")),
        checks=(
            Check("labels kept", at_end("DTN", kept), low=0.8),
            Check(
                "labels kept, minus those without features", excess("DTN", without, kept), low=0.15
            ),
        ),
        measure=functools.partial(translated, extras=(labels,)),
        classifier=True,
    )


def contrast_gan() -> System:
    """Returns ContrastGAN, the same without the contrasting loss, and CycleGAN."""
    classes: dict[str, object] = {"data.pairs": "classes", "data.classes": "('3','8')"}
    ways = "a_to_b", "b_to_a"

    def reached(run: str) -> Value:
        return lambda seed: float(np.mean([seed[run][f"labels_{way}"][-1] for way in ways]))

    own = configs.load(str(ROOT / "configs" / "contrast_gan.py:quick"))
    classes |= {"batch_size": own.batch_size, "pool": 6 * own.batch_size}
    as_long = {key: own[key] for key in ("rounds", "steps_per_round")}
    return System(
        runs=(
            Run("ContrastGAN", "contrast_gan.py:quick"),
            Run("without the contrasting loss", "contrast_gan.py:quick", {"contrast_weight": 0.0}),
            Run("CycleGAN", "cyclegan.py:quick", classes, updates=as_long),
        ),
        columns=(
            *(Column(f"class, {way.replace('_', ' ')}", f"labels_{way}", max) for way in ways),
            *(
                Column(
                    f"`sharpness`, {way.replace('_', ' ')}",
                    f"eval/sharpness_{way}",
                    closest_to_one,
                )
                for way in ways
            ),
            Column("change outside", "outside", min, 0),
        ),
        checks=(
            Check("class, mean of both directions", reached("ContrastGAN"), low=0.7),
            Check(
                "class, minus that of CycleGAN",
                lambda seed: reached("ContrastGAN")(seed) - reached("CycleGAN")(seed),
                low=0.0,
            ),
            Check("change outside the mask", at_end("ContrastGAN", "outside"), high=0.0),
        ),
        measure=functools.partial(translated, extras=(labels, outside)),
        data={"data.kind": "overlays", "data.train": 10_000, "data.valid": HELD_OUT},
    )


def crn() -> System:
    """Returns CRN, one that makes a single image of a layout, and one that compares its pixels."""
    apart, l1 = "eval/feature_distance_a_to_b", "l1_every"
    single, pixels = "a single image", "a single image, pixels"
    features: Settings = {"content": "features"}
    return System(
        runs=(
            Run("CRN", "crn.py:quick", features),
            Run(single, "crn.py:quick", {**features, "generator.images": 1}),
            Run(pixels, "crn.py:quick", {"generator.images": 1}),
        ),
        columns=(
            Column("`feature_distance`", apart, min),
            *of_pairs("a_to_b"),
            Column("`l1` of all images", l1, min, 3),
            Column("`l1` of the best", "l1_best", min, 3),
            Column("diversity", "diversity", max, 3),
        ),
        checks=(
            Check(
                "`feature_distance` of a single image over that of pixels",
                ratio(single, pixels, apart),
                high=1.0,
            ),
            Check(
                "`l1` of a single image over that of pixels", ratio(single, pixels, l1), high=1.1
            ),
            Check("diversity", at_end("CRN", "diversity"), low=1e-3),
            Check(
                "`l1` of the best image over that of a single image",
                ratio("CRN", single, "l1_best"),
                high=1.0,
            ),
        ),
        measure=functools.partial(translated, extras=(several,)),
        classifier=True,
    )


def srgan() -> System:
    """Returns SRResNet, SRGAN from it, and an SRResNet that is trained as long as SRGAN."""
    psnr, apart = "eval/psnr_a_to_b", "eval/feature_distance_a_to_b"
    gan, longer, sharp = "SRGAN", "SRResNet, as long", "eval/sharpness_a_to_b"

    def gap(seed: Seed) -> float:
        return abs(1 - seed[gan][sharp][-1]) / abs(1 - seed[longer][sharp][-1])

    return System(
        runs=(
            Run("SRResNet", "srgan.py:quick"),
            Run(gan, "srgan.py:quick_gan", {"content": "features"}, start="SRResNet"),
            Run(longer, "srgan.py:quick_gan", {"adversarial_weight": 0.0}, start="SRResNet"),
        ),
        columns=(
            Column("`psnr`", psnr, max),
            *of_pairs("a_to_b"),
            Column("`feature_distance`", apart, min),
        ),
        checks=(
            Check(
                "`psnr` of SRResNet, minus that of bicubic enlargement",
                excess("SRResNet", "not translated", psnr),
                low=1.5,
            ),
            Check("`psnr` of SRGAN, minus that of SRResNet", excess(gan, longer, psnr), high=0.0),
            Check(
                "`feature_distance` of SRGAN over that of SRResNet",
                ratio(gan, longer, apart),
                high=1.0,
            ),
            Check("distance of `sharpness` from 1, SRGAN over SRResNet", gap, high=1.0),
        ),
        measure=translated,
        classifier=True,
    )


def lapgan() -> System:
    """Returns LAPGAN and the same untrained, which add bands to real images at a coarse level."""
    still: Settings = {
        "generator_learning_rate": 0.0,
        "discriminator_learning_rate": 0.0,
        "average_decay": 0.0,
    }
    once = {"rounds": 1, "steps_per_round": 1}
    levels = 0, 1
    return System(
        runs=(
            Run("LAPGAN", "lapgan.py:quick"),
            Run("untrained", "lapgan.py:quick", still, updates=once),
        ),
        columns=(
            *(Column(f"`detail_{k}`", f"eval/detail_{k}", closest_to_one) for k in levels),
            Column("Fréchet distance", "frechet", min, 1),
            Column("`kid_pixels`", "eval/kid_pixels", min, 3),
        ),
        checks=(
            Check("error of a pyramid's inversion", at_end("LAPGAN", "inversion"), high=1e-6),
            *(
                Check(f"`detail_{k}`", at_end("LAPGAN", f"eval/detail_{k}"), 0.8, 1.2)
                for k in levels
            ),
            Check(
                "Fréchet distance over that without bands",
                ratio("LAPGAN", "without bands", "frechet"),
                high=1.0,
            ),
        ),
        measure=pyramid,
        classifier=True,
    )


def stackgan() -> System:
    """Returns StackGAN, and its first stage, trained as long, with and without augmentation."""
    longer, without = "first stage, as long", "the same without augmentation"
    frechet = functools.partial(ratio, metric="frechet")
    agreement, diversity = "eval/label_agreement", "eval/class_diversity"
    return System(
        runs=(
            Run("StackGAN", "stackgan.py:quick"),
            Run(longer, "stackgan.py:quick", {"stages": "1"}),
            Run(without, "stackgan.py:quick", {"stages": "1", "generator.augmented": False}),
        ),
        columns=(
            Column("label agreement", agreement, max),
            Column("diversity of a caption", diversity, closest_to_one),
            Column("Fréchet distance", "frechet", min, 1),
            Column("`kid_pixels`", "eval/kid_pixels", min, 3),
        ),
        checks=(
            Check("label agreement", at_end("StackGAN", agreement), low=0.7),
            Check(
                "label agreement, captions exchanged",
                at_end("captions exchanged", agreement),
                high=0.15,
            ),
            Check(
                "diversity of a caption over that without augmentation, first stages",
                ratio(longer, without, diversity),
                low=1.0,
            ),
            Check(
                "Fréchet distance over that of its first stage",
                frechet("StackGAN", "first stage"),
                high=1.0,
            ),
            Check(
                "Fréchet distance over that of a first stage that is trained as long",
                frechet("StackGAN", longer),
                high=1.0,
            ),
        ),
        measure=captioned,
        classifier=True,
    )


def vari_gan() -> System:
    """Returns VariGAN, and its first stage, trained as long."""
    longer, ways = "first stage, as long", ("a_to_b", "b_to_a")

    def of_both(compared: Callable[[str, str, str], Value], other: str, metric: str) -> Value:
        each = [compared("VariGAN", other, f"eval/{metric}_{way}") for way in ways]
        return lambda seed: float(np.mean([value(seed) for value in each]))

    return System(
        runs=(
            Run("VariGAN", "vari_gan.py:quick"),
            Run(longer, "vari_gan.py:quick", {"stages": "1"}),
        ),
        columns=(*of_pairs("a_to_b"), *of_pairs("b_to_a")),
        checks=(
            *(
                Check(
                    f"`ssim`, minus that of {text}, mean of both directions",
                    of_both(excess, row, "ssim"),
                    low=0.03,
                )
                for text, row in (
                    ("its first stage", "first stage"),
                    ("a first stage that is trained as long", longer),
                )
            ),
            *(
                Check(
                    f"`sharpness`, {way.replace('_', ' ')}",
                    at_end("VariGAN", f"eval/sharpness_{way}"),
                    0.8,
                    1.2,
                )
                for way in ways
            ),
            *(
                Check(
                    f"`l1` over that of {row}, mean of both directions",
                    of_both(ratio, row, "l1"),
                    high=0.5,
                )
                for row in ("another image", "the other view")
            ),
        ),
        measure=functools.partial(translated, extras=(views,)),
    )


SYSTEMS: Mapping[str, Callable[[], System]] = {
    "pix2pix": pix2pix,
    "cyclegan": cyclegan,
    "distance_gan": distance_gan,
    "dtn": dtn,
    "contrast_gan": contrast_gan,
    "crn": crn,
    "srgan": srgan,
    "lapgan": lapgan,
    "stackgan": stackgan,
    "vari_gan": vari_gan,
}


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
