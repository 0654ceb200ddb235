"""Makes the tables of docs/results_images.md: several seeds, best and last validation.

    python benchmarks/gan_table.py --tables=ring,grid25 [--seeds=3] [--budget=1]
        [--workdir=runs/gan_table] [--config.key=value ...]
    python benchmarks/gan_table.py --tables=losses,labels,codes,classes,birthday
        --mnist=DIR --fashion=DIR [--budget=1] [--width=64] [--rate=1]

Tables:
    ring, grid25  modes and the share of samples of high quality for every loss, on points. The ring
                  has gates: non-saturating, least squares, loss-sensitive and WGAN-GP must find 7.5
                  of 8 modes on average, with 25 % of high quality, and WGAN 7.5 loose modes
    losses        Fashion-MNIST, DCGAN's networks and the same number of updates of G for every
                  loss, with the settings of its authors; an untrained generator and a VAE are the
                  controls
    labels        MNIST with 100 labels: each semi-supervised system, and its classifier trained on
                  the labels and nothing else
    codes         InfoGAN on MNIST: do its categories agree with the classes, and do they without
                  the information terms?
    classes       AC-GAN and the conditional GAN on MNIST: do the samples show the class that was
                  asked for, and how varied are they within it?
    birthday      how many different images the GANs of `losses` make; the controls are generators
                  that repeat N training images, and real images, which must not collide

train.py makes the runs, one after the other; the same command continues after an interruption.
--budget=1 means 4,000 updates of G on points (a quarter of an hour of a core for each of the two
tables), 20 epochs for `losses`, `codes` and `classes`, and 100 for `labels`: hours on a GPU.
--budget=0.05 is one epoch. For CPUs, --width=8 makes DCGAN's networks narrower, for all losses in
the same way, and --rate=5 multiplies the learning rates of all authors, because there are few
updates. Budgets below 0.5 keep averages of G over 100 updates, not 1,000, and use the presets
`quick` in `labels`. Seeds of points train in one program (config.seeds) and see the same points;
seeds of images train one after the other.

Each number is the mean over seeds and the half width of its 95 % interval (Student's t). "Best" is
the best validation of each seed, chosen by the column's own metric, so it is optimistic; "last" is
not chosen. WORKDIR/tables.md and WORKDIR/tables.json, with the values of every seed, are written
after every table.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
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
    train,
)

from jaxgan.core import config as configs
from jaxgan.core import devices, log
from jaxgan.images.data import idx
from jaxgan.images.evaluation.birthday import birthday_test, collision_threshold
from jaxgan.images.evaluation.trained_classifier import load_classifier
from jaxgan.reporting.tables import Cell, Table, or_none, to_markdown

TABLES = ("ring", "grid25", "losses", "labels", "codes", "classes", "birthday")
GATES = {"modes": 7.5, "high quality": 0.25, "loose modes": 7.5}
"""The least values on the ring; see `Row.gates`."""
EPOCHS, STEPS_PER_EPOCH = 20, 938
"""The steps of budget 1: an epoch of 60,000 images in batches of 64."""
LABEL_EPOCHS, LABEL_STEPS = 100, 600
"""The same for `labels`: batches of 100, as in the authors' code."""
REPEATS, DRAWN, CALIBRATION = 20, 400, 5000
"""The birthday test's repeats, samples in each, and held-out images that give its threshold."""
DISCRETE = (100, 500, 2000)
"""The numbers of images that the generators with a known support repeat."""
COVERED = ("modes", "high quality", "loose modes")


@dataclass(frozen=True)
class Row:
    """The runs of one row of a table.

    Attributes:
        name: the name of the row.
        preset: the preset of configs.
        settings: the settings of all seeds.
        gates: headings of the columns that have a gate in `GATES`, for the table `ring`.
        together: whether all seeds train in one program.
    """

    name: str
    preset: str
    settings: Settings = field(default_factory=dict)
    gates: tuple[str, ...] = ()
    together: bool = False


@dataclass(frozen=True)
class Found:
    """The results of a row's seeds.

    Attributes:
        values: the validations of each seed, by metric.
        seconds: the seconds of training and validation, for one seed.
    """

    values: list[dict[str, list[float]]]
    seconds: float


@dataclass(frozen=True)
class Scale:
    """How large the runs of systems of images are.

    Attributes:
        budget: the share of the updates.
        width: channels of DCGAN's largest hidden maps.
        rate: the factor by which the authors' learning rates are multiplied.
    """

    budget: float = 1.0
    width: int = 64
    rate: float = 1.0


POINTS = (
    Column("modes", "eval/modes", max, 1),
    Column("high quality", "eval/high_quality", max),
    Column("loose modes", "eval/loose_modes", max, 1),
)
LABELS = (Column("error", "eval/error", min, 4),)
CODES = (Column("clustering accuracy", "eval/clustering_accuracy", max, 3),)
CLASSES = (
    Column("agreement", "eval/label_agreement", max, 3),
    Column("diversity", "eval/class_diversity", max, 3),
)


def points(kind: str, budget: float) -> list[Row]:
    """Returns the rows of `ring` and `grid25`: 4,000 updates of G, three layers of 128."""
    rounds = 8
    common = {
        "data.kind": kind,
        "rounds": rounds,
        "steps_per_round": max(1, round(500 * budget)),
        "checkpoint.every": rounds,
    }
    # The values of configs/gan.py:ring, since EBGAN has no preset for points.
    energy = {
        "batch_size": 256,
        "latent": 2,
        "generator.widths": (128, 128, 128),
        "discriminator.widths": (128, 128, 128),
        "generator_learning_rate": 1e-3,
        "discriminator_learning_rate": 1e-3,
        "average_decay": 0.0,
        "discriminator.code": 8,
        "margin": 0.5,
    }
    if kind == "ring":
        energy |= {"data.ring.radius": 2 / 1.414, "data.ring.sd": 0.02 / 1.414}
    gate = COVERED[:2]

    def row(name: str, preset: str, settings: Settings, gates: tuple[str, ...] = ()) -> Row:
        return Row(name, preset, {**common, **settings}, gates, together=True)

    return [
        row("minimax", "gan.py:ring", {"loss": "minimax"}),
        row("non-saturating", "gan.py:ring", {"loss": "non_saturating"}, gate),
        row("non-saturating, packs of 2", "gan.py:ring", {"packing": 2}),
        row("least squares", "gan.py:ring", {"loss": "least_squares"}, gate),
        row("hinge", "gan.py:ring", {"loss": "hinge"}),
        row("loss-sensitive", "loss_sensitive.py:ring", {}, gate),
        row("EBGAN", "ebgan.py:quick", {**energy, "pull_away": 0.0}),
        row("EBGAN, pull-away 0.1", "ebgan.py:quick", {**energy, "pull_away": 0.1}),
        row("BEGAN", "began.py:ring", {}),
        row("WGAN, clip 0.1", "wgan.py:ring", {}, ("loose modes",)),
        row("WGAN-GP, lambda 0.1", "wgan_gp.py:ring", {}, gate),
    ]


def images(kind: str, root: Path, scale: Scale) -> Settings:
    """Returns the settings of every run on images: an epoch a round, batches of 64."""
    rounds, steps = scaled(EPOCHS, STEPS_PER_EPOCH, scale.budget)
    return {
        **data_of(kind, root),
        "rounds": rounds,
        "steps_per_round": steps,
        "batch_size": 64,
        "validation.samples": 10_000,  # as Lucic et al. 2018
        "checkpoint.every": rounds,
        # An average over 1,000 updates still holds the initial parameters after an epoch or two.
        "average_decay": 0.999 if scale.budget >= 0.5 else 0.99,
    }


def convolutional(preset: str, scale: Scale, **more: object) -> Settings:
    """Returns the widths and the learning rates of a config with DCGAN's networks, and more."""
    config = configs.load(str(ROOT / "configs" / preset.partition(":")[0]))
    rates = ("generator_learning_rate", "discriminator_learning_rate")
    return {
        "generator.features": scale.width,
        "discriminator.features": scale.width,
        **{key: float(config[key]) * scale.rate for key in rates},
        **more,
    }


def losses(root: Path, classifier: Path, scale: Scale) -> list[Row]:
    """Returns the rows of `losses`."""
    common = {**images("fashion_mnist", root, scale), "features": str(classifier)}
    still = {"generator_learning_rate": 0.0, "discriminator_learning_rate": 0.0}
    once = {"rounds": 1, "steps_per_round": 1, "average_decay": 0.0}

    def row(name: str, preset: str, **more: object) -> Row:
        return Row(name, preset, {**common, **convolutional(preset, scale, **more)})

    spectral = {"discriminator.spectral": True, "discriminator.normalisation": "none"}
    return [
        row("untrained", "dcgan.py", **still, **once),
        Row("VAE", "vae.py", {**common, "binarise": False}),
        row("minimax", "dcgan.py", loss="minimax"),
        row("non-saturating", "dcgan.py"),
        row("least squares", "dcgan.py", loss="least_squares"),
        row("hinge, spectral norm", "dcgan.py", loss="hinge", **spectral),
        row("WGAN", "wgan.py"),
        row("WGAN-GP", "wgan_gp.py"),
        row("loss-sensitive", "loss_sensitive.py"),
        row("EBGAN", "ebgan.py"),
        row("BEGAN", "began.py:quick", gamma=0.5),  # the paper's
    ]


def labels(root: Path, scale: Scale) -> list[Row]:
    """Returns the rows of `labels`; a budget below 0.5 takes the presets `quick` where networks
    are fully connected: half the authors' widths, and averages over fewer updates.
    """
    rounds, steps = scaled(LABEL_EPOCHS, LABEL_STEPS, scale.budget)
    few = {
        **data_of("mnist", root),
        "data.labelled": 100,
        "rounds": rounds,
        "steps_per_round": steps,
        "validation.samples": 100,
        "checkpoint.every": rounds,
    }
    only = {"unlabelled": False}
    preset = ":quick" if scale.budget < 0.5 else ""
    # The paper of semi_supervised gives no networks and no learning rates; these are DCGAN's.
    convolutions = {**few, **convolutional("semi_supervised.py", scale, loss="non_saturating")}
    third = {"pseudo_start": rounds * steps // 3}
    return [
        Row("fully connected, the labels only", f"improved_gan.py{preset}", {**few, **only}),
        Row("improved_gan", f"improved_gan.py{preset}", few),
        Row("triple_gan", f"triple_gan.py{preset}", {**few, **third}),
        Row("bad_gan", f"bad_gan.py{preset}", few),
        Row("convolutions, the labels only", "semi_supervised.py", {**convolutions, **only}),
        Row("semi_supervised", "semi_supervised.py", convolutions),
    ]


def codes(root: Path, scale: Scale) -> list[Row]:
    """Returns the rows of `codes`; the G of the control need not show its codes."""
    settings = {**images("mnist", root, scale), **convolutional("infogan.py", scale)}
    without = {"category_weight": 0.0, "continuous_weight": 0.0}
    return [
        Row("InfoGAN", "infogan.py", settings),
        Row("without the information terms", "infogan.py", {**settings, **without}),
    ]


def classes(root: Path, classifier: Path, scale: Scale) -> list[Row]:
    """Returns the rows of `classes`; the conditional GAN is fully connected."""
    common = {**images("mnist", root, scale), "features": str(classifier)}
    return [
        Row("AC-GAN", "acgan.py", {**common, **convolutional("acgan.py", scale)}),
        Row("conditional GAN", "conditional_gan.py", common),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and writes the tables. Returns the exit status."""
    options, overrides = parse(arguments)
    options.workdir.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Table] = {}
    found: dict[str, object] = {"seeds": options.seeds, "budget": options.budget}
    found["settings"] = overrides
    for name in options.tables:
        if name == "birthday":
            tables[name], found[name] = birthday(options)
        else:
            tables[name], found[name] = trained(name, options, overrides)
        text = "\n".join(f"{table.title}\n\n{to_markdown(table)}" for table in tables.values())
        (options.workdir / "tables.md").write_text(text, "utf-8")
        (options.workdir / "tables.json").write_text(json.dumps(found, indent=1) + "\n")
        print(f"{tables[name].title}\n\n{to_markdown(tables[name])}", flush=True)
    return 0


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, with `tables` in their order, and settings for every run."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--tables", default="ring,grid25", help=f"of {','.join(TABLES)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the updates; default 1")
    parser.add_argument("--width", type=int, default=64, help="channels of DCGAN's largest maps")
    parser.add_argument("--rate", type=float, default=1.0, help="times the authors' learning rates")
    parser.add_argument("--workdir", type=Path, default=Path("runs/gan_table"))
    parser.add_argument("--mnist", type=Path, help="folder of MNIST")
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST")
    options, overrides = parser.parse_known_args(arguments)
    chosen = options.tables.split(",")
    for wrong in sorted(set(chosen) - set(TABLES)):
        parser.error(f"--tables={wrong}: choose from {', '.join(TABLES)}")
    for wrong in [flag for flag in overrides if not flag.startswith("--config.")]:
        parser.error(f"{wrong}: no such option")
    if set(chosen) & {"labels", "codes", "classes"} and not options.mnist:
        parser.error("--mnist: name the folder of MNIST")
    if set(chosen) & {"losses", "birthday"} and not options.fashion:
        parser.error("--fashion: name the folder of Fashion-MNIST")
    options.tables = [name for name in TABLES if name in chosen]
    return options, overrides


def trained(
    name: str, options: argparse.Namespace, overrides: Sequence[str]
) -> tuple[Table, dict[str, object]]:
    """Returns a table of trained runs, and the values of every seed."""
    mnist, scale = options.mnist, Scale(options.budget, options.width, options.rate)
    columns: Sequence[Column]
    if name in ("ring", "grid25"):
        rows, columns = points(name, options.budget), POINTS
    elif name == "losses":
        classifier = classifier_of("fashion_mnist", options.fashion, options.workdir)
        rows, columns = losses(options.fashion, classifier, scale), in_features("fashion_mnist")
    elif name == "labels":
        rows, columns = labels(mnist, scale), LABELS
    elif name == "codes":
        rows, columns = codes(mnist, scale), CODES
    else:
        classifier = classifier_of("mnist", mnist, options.workdir)
        rows, columns = classes(mnist, classifier, scale), CLASSES
    found = {row.name: run(row, options.workdir / name, options.seeds, overrides) for row in rows}
    return table(name, rows, columns, found, options), {
        system: {
            "seconds of a seed": each.seconds,
            "validations of each seed": [
                {metric: list(map(or_none, values)) for metric, values in seed.items()}
                for seed in each.values
            ],
        }
        for system, each in found.items()
    }


def in_features(kind: str) -> tuple[Column, ...]:
    """Returns the columns of `losses`, in the features of the classifier of this kind of data."""
    return (
        Column("Fréchet distance", f"eval/fid_{kind}_cnn", min, 1),
        Column("kernel distance", f"eval/kid_{kind}_cnn", min, 3),
        Column("coverage", "eval/coverage", max),
        Column("classes", "eval/class_coverage", max, 1),
    )


def run(row: Row, folder: Path, seeds: int, overrides: Sequence[str]) -> Found:
    """Trains all seeds of a row, and returns what they found."""
    workdir = folder / row.name.replace(" ", "_").replace(",", "")
    if row.together:
        train(row.preset, {**row.settings, "seeds": seeds}, overrides, workdir)
        rows = log.read(workdir)
        suffixes = [f"/seed_{seed}" if seeds > 1 else "" for seed in range(seeds)]
        values = [series(rows, suffix) for suffix in suffixes]
        return Found(values, rows[-1]["wall_seconds"] / seeds)
    each = []
    for seed in range(seeds):
        own = {**row.settings, "seed": seed}
        if "data.labelled" in own:
            own["data.seed"] = seed  # other labelled images
        train(row.preset, own, overrides, workdir / f"seed{seed}")
        each.append(log.read(workdir / f"seed{seed}"))
    seconds = float(np.mean([rows[-1]["wall_seconds"] for rows in each]))
    return Found([series(rows) for rows in each], seconds)


def table(
    name: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    found: Mapping[str, Found],
    options: argparse.Namespace,
) -> Table:
    """Returns the table of some rows: each metric at the last and at the best validation."""
    gated = name == "ring"
    headings = [name, *(f"{column.heading}, {when}" for column in columns for when in WHEN)]
    headings += ["gate"] * gated + ["s of a seed"]
    body = []
    for row in rows:
        values = found[row.name].values
        cells = [Cell(row.name)]
        for column in columns:
            for when in WHEN:
                cells.append(Cell(interval(of_seeds(values, column, when), column.digits)))
        if gated:
            cells.append(Cell(gate(row, columns, values)))
        body.append([*cells, Cell(f"{found[row.name].seconds:.0f}")])
    title = f"`{name}`, {options.seeds} seeds, budget {options.budget:g}"
    return Table(headings, body, title)


WHEN = ("last", "best")


def gate(row: Row, columns: Sequence[Column], values: Sequence[dict[str, list[float]]]) -> str:
    """Returns whether the mean over seeds at the end reaches the row's gates."""
    if not row.gates:
        return "-"
    of = {column.heading: column for column in columns}
    passed = [
        of_seeds(values, of[heading], "last").mean() >= GATES[heading] for heading in row.gates
    ]
    return "passed" if all(passed) else "missed"


def birthday(options: argparse.Namespace) -> tuple[Table, dict[str, object]]:
    """Returns the estimated supports of generators, with controls on both sides."""
    classifier_folder = classifier_of("fashion_mnist", options.fashion, options.workdir)
    classifier = load_classifier(classifier_folder, "best", devices.make_mesh(1))
    opened = idx.open_idx(ConfigDict({"kind": "fashion_mnist", "root": str(options.fashion)}))
    held_out = classifier(opened.valid.values[:CALIBRATION]).features
    threshold = collision_threshold(held_out, DRAWN)
    random, train_values = np.random.default_rng(0), opened.train.values
    drawn = {
        f"{count} training images, repeated": train_values[
            random.permutation(len(train_values))[:count][
                random.integers(0, count, REPEATS * DRAWN)
            ]
        ]
        for count in DISCRETE
    }
    drawn["different training images"] = train_values[
        random.permutation(len(train_values))[: REPEATS * DRAWN]
    ]
    runs = sorted(path.parent for path in (options.workdir / "losses").glob("*/seed*/checkpoints"))
    for workdir in runs:
        drawn[f"{workdir.parent.name}, {workdir.name}"] = samples_of(workdir, options.workdir)
    body: list[list[Cell]] = []
    found: dict[str, object] = {}
    for name, values in drawn.items():
        features = classifier(values).features.reshape(REPEATS, DRAWN, -1)
        test = birthday_test(features, threshold)
        collided = float(np.isfinite(test.first_collisions).mean())
        support = f"{test.support:.0f}" if math.isfinite(test.support) else "no estimate"
        body.append([Cell(name), Cell(f"{collided:.2f}"), Cell(support)])
        found[name] = {"support": or_none(test.support), "repeats with a collision": collided}
    headings = ["birthday", f"repeats of {DRAWN} with a collision", "different images"]
    return Table(headings, body, f"`birthday`, {REPEATS} repeats"), found


def samples_of(workdir: Path, folder: Path) -> np.ndarray:
    """Returns samples of a trained run, uint8 [REPEATS * DRAWN, H, W, C]."""
    output = folder / "samples" / workdir.parent.name / workdir.name
    if not (output / "samples.npz").exists():
        flags = [f"--workdir={workdir}", f"--count={REPEATS * DRAWN}", f"--output={output}"]
        subprocess.run([sys.executable, str(ROOT / "sample.py"), *flags], check=True)
    samples: np.ndarray = np.load(output / "samples.npz")["samples"]
    return samples


if __name__ == "__main__":
    sys.exit(main())
