"""Measures trained runs for translation_table.py, beyond what validation reports.

A function of this file takes the folder of a run, opens its data once, and measures the last
checkpoint on the first held-out images. What it returns for the run itself is under the name "";
other names are rows to compare with, such as the images before their translation.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from scipy.spatial.distance import cdist

import jaxgan
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.players import deploy
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Player, Players
from jaxgan.images.data.batches import WHITE, to_bytes, to_floats
from jaxgan.images.data.built_in_pairs import MADE
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.domains import Domains
from jaxgan.images.data.layouts import read_codes
from jaxgan.images.data.masks import find_objects
from jaxgan.images.data.opening import IMAGES, open_data
from jaxgan.images.evaluation.frechet import frechet_distance, moments
from jaxgan.images.evaluation.trained_classifier import load_classifier
from jaxgan.images.evaluation.translation import TranslationMetrics, Translators
from jaxgan.images.evaluation.validation import SampleMetrics, Sampler, every_class
from jaxgan.images.networks.laplacian import draw_noise
from jaxgan.images.pyramid import bands, expand, levels, rebuild
from jaxgan.images.stages import FIRST
from jaxgan.images.systems import crn, lapgan, stackgan, vari_gan
from jaxgan.images.translation import features_of

MEASURED, REFERENCES = 500, 2000
"""The most held-out images of a domain that are measured, and training images that name labels."""
SHOWN = 12
"""The number of images of each direction in a picture."""
BATCH = 50
"""The number of images in a call of a program here."""

Rows = Mapping[str, Mapping[str, float]]
"""For each name of a row, "" for the run itself, metrics by name."""


@dataclass(frozen=True)
class Measured:
    """What a run's last checkpoint makes of held-out images.

    Attributes:
        rows: see `Rows`.
        inputs: by direction, the images that are translated, uint8 [SHOWN, S, S, C].
        outputs: by direction, their translations.
        targets: by direction, their partners; empty where there are no pairs.
    """

    rows: dict[str, dict[str, float]]
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """A trained translation, and its data.

    Attributes:
        folder: the folder of the run.
        config: the config of the run.
        train: training images of both domains, "a" and "b", with their labels; if the domains are
            two classes, those of all classes in both.
        valid: held-out images of both domains, likewise; partners have the same place.
        translate: (images uint8 [n, S, S, C], direction) -> images of the other domain.
        made: by direction, the translations of the held-out images.
    """

    folder: Path
    config: ConfigDict
    train: Mapping[str, Images]
    valid: Mapping[str, Images]
    translate: Callable[[np.ndarray, str], np.ndarray]
    made: Mapping[str, np.ndarray]

    @property
    def paired(self) -> bool:
        """Whether the held-out images are pairs."""
        return bool(self.config.data.pairs != "classes")


Extra = Callable[[Trained], Rows]


def translated(folder: Path, extras: Sequence[Extra] = ()) -> Measured:
    """Returns the measurements of the extras, and those of images before their translation."""
    config = configs.read(folder)
    train, valid, *_ = IMAGES[config.data.kind](config.data)
    known = first(train, REFERENCES)
    classes = config.data.pairs == "classes"
    held_out = sides(valid if classes else first(valid, config.validation.samples), config.data)
    translator = jaxgan.load(folder, "last")
    sources = {way: held_out[way[0]].values for way in translator.directions}
    run = Trained(
        folder,
        config,
        dict.fromkeys("ab", known) if classes else sides(known, config.data),
        held_out,
        translator,
        {way: translator(images[:MEASURED], way) for way, images in sources.items()},
    )
    rows: dict[str, dict[str, float]] = {"": {}}
    for extra in (*([untranslated] if run.paired else []), *extras):
        for name, metrics in extra(run).items():
            rows.setdefault(name, {}).update(metrics)
    targets = {way: held_out[way[-1]].values[:SHOWN] for way in sources if run.paired}
    outputs = {way: images[:SHOWN] for way, images in run.made.items()}
    return Measured(
        rows, {way: images[:SHOWN] for way, images in sources.items()}, outputs, targets
    )


def first(images: Images, count: int) -> Images:
    """Returns the first images, at most `count`."""
    return images.select(np.arange(min(count, len(images))))


def sides(images: Images, data: ConfigDict) -> dict[str, Images]:
    """Returns the images of both domains that `data.pairs` makes of labelled images."""
    if data.pairs == "classes":
        return {
            letter: images.select(np.flatnonzero(images.labels == images.classes.index(name)))
            for letter, name in zip("ab", data.classes, strict=True)
        }
    return {"a": dataclasses.replace(images, values=MADE[data.pairs](images, data)), "b": images}


def untranslated(run: Trained) -> Rows:
    """Returns the metrics of validation for images that are not translated."""
    measure = metrics_of(run)
    found, _ = measure(measure.sources)
    return {"not translated": found}


def metrics_of(run: Trained) -> TranslationMetrics:
    """Returns the metrics of validation for translations of all held-out images, in pairs."""
    domains = Domains(run.valid["a"].values, run.valid["b"].values, True)
    features = None
    if run.config.features:
        classifier = load_classifier(run.config.features, "best", devices.make_mesh(1))
        features = features_of(classifier)
    count = run.config.validation.samples
    return TranslationMetrics(domains, count, tuple(run.made), True, features)


def labels(run: Trained) -> Rows:
    """Returns `labels_DIRECTION`, the share of translations with the label that they should have.

    Between the two sides of a pair that is the label of the source; between two classes it is the
    class of the target. The label of an image is that of the most similar training image of its
    domain. "real" has the share of real images of the target domain that get their own label, the
    most that can be expected, and "not translated" that of images without a translation.
    """
    found: dict[str, dict[str, float]] = {"": {}, "not translated": {}, "real": {}}
    for way, made in run.made.items():
        source, target = (first(run.valid[letter], MEASURED) for letter in (way[0], way[-1]))
        known = run.train[way[-1]]
        expected = source.labels if run.paired else np.full(len(source), target.labels[0])
        cases = {
            "": (made, expected),
            "not translated": (source.values, expected),
            "real": (target.values, target.labels),
        }
        for name, (images, wanted) in cases.items():
            named = labels_of(images, known.values, known.labels)
            found[name][f"labels_{way}"] = float(np.mean(named == wanted))
    return found


def labels_of(images: np.ndarray, references: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Returns the label of the most similar reference, int [n], for images uint8 [n, S, S, C].

    Images are compared by the mean absolute difference of the smallest channel of each pixel, which
    is the digit on coloured grounds.
    """
    rows = [each.min(axis=-1).reshape(len(each), -1) for each in (images, references)]
    nearest: np.ndarray = cdist(*rows, "cityblock").argmin(axis=1)
    return names[nearest]


def cycles(run: Trained) -> Rows:
    """Returns `cycle_DIRECTION`, the error of images after a whole cycle, white being 1."""
    found = {}
    for way, made in run.made.items():
        there, back = way[-1], way[0]
        returned = run.translate(made, f"{there}_to_{back}")
        found[f"cycle_{way}"] = distance(returned, run.valid[back].values[: len(made)])
    return {"": found}


def distance(images: np.ndarray, others: np.ndarray) -> float:
    """Returns the mean absolute difference of images, white being 1."""
    return float(np.abs(images.astype(np.float64) - others).mean() / WHITE)


def outside(run: Trained) -> Rows:
    """Returns `outside`, the greatest change of a pixel outside the box around light pixels."""
    greatest = 0
    for way, made in run.made.items():
        source = run.valid[way[0]].values[: len(made)]
        masks = np.asarray(find_objects(to_floats(jnp.asarray(source)), "light").masks)
        changes = np.abs(made.astype(int) - source)
        greatest = max(greatest, int(np.where(masks, 0, changes).max()))
    return {"": {"outside": float(greatest)}}


def several(run: Trained) -> Rows:
    """Returns how different the images are that CRN makes of a layout, and the best of them.

    `diversity` is the mean absolute difference between two different ones, `l1_best` the mean
    difference from the target of the one that is closest to it, and `l1_every` that of all.
    """
    source, target = (run.valid[letter].values[:MEASURED] for letter in "ab")
    system = crn.make_system(run.config, source.shape[-1])
    player = last_players(run.folder)["generator"]

    @jax.jit
    def make(images: jax.Array) -> jax.Array:
        layouts = jax.nn.one_hot(read_codes(to_floats(images), system.codes), system.codes)
        return to_bytes(crn.generate(system, player, layouts))

    made = in_batches(make, source).astype(np.float64) / WHITE
    apart = np.abs(made - target[:, None] / WHITE).mean(axis=(2, 3, 4))
    count = made.shape[1]
    between = [np.abs(made[:, u] - made[:, v]).mean() for u in range(count) for v in range(u)]
    return {
        "": {
            "diversity": float(np.mean(between)) if between else 0.0,
            "l1_best": float(apart.min(axis=1).mean()),
            "l1_every": float(apart.mean()),
        }
    }


def views(run: Trained) -> Rows:
    """Returns the metrics of validation for what VariGAN should not make, after both stages.

    "first stage" has the coarse images of the same run, enlarged; "another image" has the views of
    the image that follows, and "the other view" those for the view of the image itself.
    """
    if run.config.stages == FIRST:
        return {}
    measure = metrics_of(run)
    config = configs.read(run.folder)
    config.stages = FIRST
    shape = run.valid["a"].values.shape[1:]
    coarse = Translators(vari_gan.make_translations(config, shape), devices.make_mesh(1))
    players = last_players(run.folder)
    made: dict[str, dict[str, np.ndarray]] = {
        "first stage": {},
        "another image": {},
        "the other view": {},
    }
    for way, images in measure.sources.items():
        made["first stage"][way] = coarse(way, players, images, 0)()
        made["another image"][way] = run.translate(np.roll(images, -1, axis=0), way)
        made["the other view"][way] = run.translate(images, f"{way[-1]}_to_{way[0]}")
    return {name: measure(images)[0] for name, images in made.items()}


def last_players(folder: Path) -> Players:
    """Returns the players of a run's last checkpoint, as they are used after training."""
    return deploy(load_seed(folder, "last", 0), devices.make_mesh(1))


def in_batches(function: Callable[[np.ndarray], jax.Array], images: np.ndarray) -> np.ndarray:
    """Returns what a function makes of images, in batches of one size."""
    rows = np.arange(-(-len(images) // BATCH) * BATCH) % len(images)
    parts = [np.asarray(function(images[part])) for part in rows.reshape(-1, BATCH)]
    return np.concatenate(parts)[: len(images)]


def pyramid(folder: Path) -> Measured:
    """Returns what LAPGAN's bands add to the coarsest level of real images.

    `frechet` is the distance to the real images in the features of the run's classifier, and
    `inversion` the greatest error of a pixel when real images are rebuilt from their pyramid, which
    are from -1 to 1. The row "without bands" has the coarsest level expanded.
    """
    config = configs.read(folder)
    _, valid, *_ = IMAGES[config.data.kind](config.data)
    real = first(valid, config.validation.samples).values
    system = lapgan.make_system(config, real.shape[1:])
    generator = last_players(folder)["generator"]
    build = jax.jit(functools.partial(_build, system, generator))
    key = jax.random.key(config.seed)
    stacked = in_batches(lambda images: build(images, key), real)
    made, blurred, rebuilt = (stacked[:, number] for number in range(3))
    classifier = load_classifier(config.features, "best", devices.make_mesh(1))
    fitted = moments(classifier(real).features, "real images")
    images = {"": to_bytes(jnp.asarray(made)), "without bands": to_bytes(jnp.asarray(blurred))}
    rows: dict[str, dict[str, float]] = {
        name: {
            "frechet": frechet_distance(
                fitted, moments(classifier(np.asarray(one)).features, "generated images")
            ).value
        }
        for name, one in images.items()
    }
    rows[""]["inversion"] = float(np.abs(rebuilt - np.asarray(to_floats(jnp.asarray(real)))).max())
    rows["without bands"] |= {f"eval/detail_{level}": 0.0 for level in range(config.levels - 1)}
    way = "coarse_to_fine"
    inputs, outputs = (np.asarray(images[name])[:SHOWN] for name in ("without bands", ""))
    return Measured(rows, {way: inputs}, {way: outputs}, {way: real[:SHOWN]})


def captioned(folder: Path) -> Measured:
    """Returns what StackGAN makes of captions.

    `frechet` is the distance to held-out images in the features of the run's classifier. The row
    "first stage" has the small images that are refined, enlarged; "captions exchanged" compares
    images with the captions of others, and "real" has the held-out images, with the distance of two
    halves of them.
    """
    config = configs.read(folder)
    train, valid, *_ = open_data(config, lambda _: None)
    mesh = devices.make_mesh(1)
    classifier = load_classifier(config.features, "best", mesh)
    distance = f"eval/fid_{classifier.name}"
    metrics = SampleMetrics(config, train, valid, mesh, True)
    player = last_players(folder)["generator"]
    labels = every_class(config.validation.samples, len(valid.classes))

    def draw(stages: str) -> np.ndarray:
        chosen = config.copy_and_resolve_references()
        chosen.stages = stages
        sample = stackgan.make_sample(chosen, valid.shape, len(valid.classes))
        return Sampler(sample, mesh)(player, labels, config.seed)()

    def measured(images: np.ndarray, asked: np.ndarray) -> dict[str, float]:
        found, _ = metrics(images, asked)
        return {**found, "frechet": found[distance]}

    small, made = draw(FIRST), draw(config.stages)
    agreement, diversity = "eval/label_agreement", "eval/class_diversity"
    exchanged = measured(made, np.random.default_rng(config.seed).permutation(labels))
    real = measured(valid.values, valid.labels)
    rows = {
        "": measured(made, labels),
        "first stage": measured(small, labels),
        "captions exchanged": {agreement: exchanged[agreement]},
        "real": {name: real[name] for name in (agreement, diversity)}
        | {"frechet": real[f"{distance}_floor"]},
    }
    shown = np.arange(SHOWN) * max(1, len(valid.classes) // SHOWN) % len(labels)
    way = "first_to_second"
    targets = [np.flatnonzero(valid.labels == label)[0] for label in labels[shown]]
    return Measured(rows, {way: small[shown]}, {way: made[shown]}, {way: valid.values[targets]})


def _build(
    system: lapgan.System, generator: Player, values: jax.Array, key: jax.Array
) -> jax.Array:
    """Returns images that are made of the coarsest level of real ones, float32 [B, 3, H, W, C].

    They are those with generated bands, those without bands, and those with the real bands.
    """
    real = to_floats(values)
    count = len(system.generator.shapes)
    noise = draw_noise(system.generator, key, len(real))
    *finer, coarsest = levels(real, count)
    made = blurred = coarsest
    for level in reversed(range(count - 1)):
        apply: Any = system.generator.apply
        made = apply(generator.variables, level, noise[level], made, method="level")
        blurred = expand(blurred, finer[level].shape[1:3])
    return jnp.stack([made, blurred, rebuild(bands(real, count))], axis=1)
