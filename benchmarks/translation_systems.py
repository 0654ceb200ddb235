"""The systems of translation_table.py: their runs and controls, and what they must show.

A further system is a function that returns its `System`, and a line in `SYSTEMS`.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from trained_runs import ROOT, Column, Settings
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

HELD_OUT = 1000
"""Digits that are drawn for validation; of other data, how many held-out images are translated."""
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
