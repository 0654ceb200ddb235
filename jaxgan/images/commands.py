"""What sample.py and eval.py do with a trained generator of images or points."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import NOTHING_TO_CONTINUE, refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, check_same_data, writable
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Player, Players
from jaxgan.images.arrays import ArraySampler, choose_labels
from jaxgan.images.data.dataset import DATA, Images, described, digests
from jaxgan.images.data.opening import open_data
from jaxgan.images.evaluation.grids import image_grid, png
from jaxgan.images.evaluation.interpolation import interpolate
from jaxgan.images.evaluation.validation import (
    MeasurePlayers,
    Sample,
    SampleMetrics,
    Sampler,
    every_class,
)
from jaxgan.images.settings import CHOICES, RANGES
from jaxgan.reporting.summary import destination, report

GRID, SAMPLES = "samples.png", "samples.npz"
PATHS = "interpolation.png"
SHOWN = 400
"""The most images in the grid that a command writes."""

MEASURED = (
    "this run is measured by the metrics of its validation on the held-out data of its training"
)
"""The reason that these commands refuse --data and --scores."""
GENERATOR = "generator"
"""The player that samples."""

MakeSample = Callable[..., Sample]
"""(config, shape of a sample), and the number of classes if the generator is conditional -> a
function that draws from a trained generator."""
MakeMeasure = Callable[[ConfigDict, Images, Mesh], MeasurePlayers]
"""(config, held-out data, devices) -> a function that measures the players in addition to the
samples."""


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe],
    make_sample: MakeSample,
    conditional: bool = False,
    make_measure: MakeMeasure | None = None,
    check: Callable[[ConfigDict], None] | None = None,
) -> Declaration:
    """Returns the declaration of a system that trains a generator of images or points.

    Args:
        make: makes the recipe.
        make_sample: see `MakeSample`.
        conditional: whether the generator takes a class as its condition.
        make_measure: makes the function that measures the other players, for systems that train a
            classifier.
        check: as for `Declaration.check`; checks the keys that `settings.check` does not know.
    """

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        _sample(workdir, checkpoint, request, make_sample, conditional)

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        _evaluate(workdir, checkpoint, request, make_sample, conditional, make_measure)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> ArraySampler:
        folder = absolute(workdir)
        classes = described(folder)["classes"] if conditional else ()
        trained = _load(folder, checkpoint, seed_index, make_sample, conditional)
        return ArraySampler(trained.draw, classes)

    return Declaration(
        make, evaluate=evaluate, sample=sample, compare=compare, load=load, check=check
    )


def compare(
    workdirs: Sequence[str],
    command: Callable[[str, str], Any],
    data: str | None,
    checkpoint: str,
    output: str | None,
    scores: str,
) -> None:
    """Compares trained generators; see `Declaration.compare`."""
    # Figures and tables take a second to import, which training does not need.
    from jaxgan.images.evaluation import compare as comparison

    refuse_flags(MEASURED, data=data, scores=scores or None)
    evaluates = [command(workdir, "evaluate") for workdir in workdirs]
    comparison.compare(workdirs, evaluates, checkpoint, output)


class Opened(NamedTuple):
    """A trained run with its data.

    Attributes:
        folder: the folder of the run.
        config: the config of the run.
        train: its training data.
        valid: its held-out data.
    """

    folder: epath.Path
    config: ConfigDict
    train: Images
    valid: Images


def open_run(workdir: epath.PathLike, request: EvaluationRequest) -> Opened:
    """Returns the run that eval.py measures.

    Args:
        workdir: its folder.
        request: must ask for neither data nor scores.

    Raises:
        UserError: a flag does not fit, or the data are not those of the training.
    """
    refuse_flags(MEASURED, data=request.data, scores=request.scores or None)
    folder = absolute(workdir)
    config = configs.read(folder)
    configs.check_values(config, CHOICES, RANGES)
    train, valid, _ = open_data(config, lambda _: None)
    check_same_data(folder, {DATA: digests(train, valid)})
    return Opened(folder, config, train, valid)


class Trained(NamedTuple):
    """A trained generator.

    Attributes:
        config: the config of its run.
        sample: draws from it.
        sampler: the compiled program of `sample`.
        players: it and the others that were trained with it, on the devices.
        mesh: the devices.
    """

    config: ConfigDict
    sample: Sample
    sampler: Sampler
    players: Players
    mesh: Mesh

    @property
    def player(self) -> Player:
        """The generator itself."""
        return self.players[GENERATOR]

    def draw(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """Returns samples: uint8 [n, H, W, C] or float32 [n, 2]."""
        return self.sampler(self.player, labels, seed)()


def _load(
    folder: epath.Path,
    checkpoint: str,
    seed_index: int,
    make_sample: MakeSample,
    conditional: bool,
) -> Trained:
    """Returns the trained generator of a run.

    Raises:
        UserError: there is no such checkpoint or seed, or it has no generator.
    """
    found, config = described(folder), configs.read(folder)
    configs.check_values(config, CHOICES, RANGES)
    mesh = devices.make_mesh()
    players = load_seed(folder, checkpoint, seed_index)
    if GENERATOR not in players:
        raise UserError(
            f"{folder}: samples come from a player named {GENERATOR!r}, and this run has only "
            f"{', '.join(sorted(players))}"
        )
    classes = (len(found["classes"]),) if conditional else ()
    deployed = {name: player.without_training() for name, player in players.items()}
    with configs.fits(folder):
        sample = make_sample(config, found["shape"], *classes)
        label = jax.ShapeDtypeStruct((1,), np.int32)
        jax.eval_shape(sample, deployed[GENERATOR], jax.random.key(0), label)
    players = devices.put_replicated(deployed, mesh)
    return Trained(config, sample, Sampler(sample, mesh), players, mesh)


def _sample(
    workdir: epath.PathLike,
    checkpoint: str,
    request: SampleRequest,
    make_sample: MakeSample,
    conditional: bool,
) -> None:
    """Draws images or points and writes samples.npz, and images as samples.png too.

    Raises:
        UserError: a flag does not fit the system, there is no such checkpoint, or the folder cannot
            be written.
    """
    folder = absolute(workdir)
    classes = described(folder)["classes"] if conditional else ()
    given = {"text": request.text, "prime": request.prime, "bias": request.bias}
    refuse_flags(NOTHING_TO_CONTINUE, **given)
    if request.temperature is not None:
        raise UserError(f"--temperature={request.temperature}: only sequences use a temperature")
    if request.output is None:
        raise UserError("--output: give a folder to write the images or points to")
    labels = choose_labels(request.count, classes, request.label, "--label")
    trained = _load(folder, checkpoint, request.seed_index, make_sample, conditional)
    destination = Path(request.output).expanduser()
    if request.interpolate is not None:
        _write_path(destination, trained, labels, request)
        return
    samples = trained.draw(labels, request.seed)
    _write(destination, samples, labels if conditional else None)
    print(f"wrote {request.count} samples to {destination}")


def _write_path(
    destination: Path, trained: Trained, labels: np.ndarray, request: SampleRequest
) -> None:
    """Writes a grid of images between latent codes, a row for each label.

    Raises:
        UserError: the samples are points, or the folder cannot be written.
    """
    config, steps = trained.config, request.interpolate or 0
    sample = jax.eval_shape(trained.sample, trained.player, jax.random.key(0), labels)
    if sample.ndim != 4:
        raise UserError(
            f"--interpolate={steps}: only images can be interpolated, and these are points"
        )
    prior = config.get("prior", "normal")
    picture = interpolate(
        *(trained.sample, trained.player, labels, steps, request.seed),
        *(config.latent, prior, trained.mesh),
    )
    with writable(destination):
        destination.mkdir(parents=True, exist_ok=True)
        (destination / PATHS).write_bytes(png(picture))
    print(f"wrote {destination / PATHS}")


def _evaluate(
    workdir: epath.PathLike,
    checkpoint: str,
    request: EvaluationRequest,
    make_sample: MakeSample,
    conditional: bool,
    make_measure: MakeMeasure | None,
) -> None:
    """Measures a trained generator as validation does, and writes its samples and a summary.

    Raises:
        UserError: a flag does not fit, the data are not those of the training, or there is no such
            checkpoint or seed.
    """
    folder, config, train, valid = open_run(workdir, request)
    metrics = SampleMetrics(config, train, valid, devices.make_mesh(), conditional)
    # No validation of this generator has used this seed.
    seed = config.seed + request.seed_index + 1
    labels = every_class(config.validation.samples, len(valid.classes))
    trained = _load(folder, checkpoint, request.seed_index, make_sample, conditional)
    samples = trained.draw(labels, seed)
    found = metrics(samples, labels)[0] | metrics.duplicates(samples)
    if make_measure:
        found = make_measure(config, valid, trained.mesh)(trained.players)()[0] | found
    if jax.process_index() == 0:
        place = destination(folder, request.output)
        _write(place, samples, labels if conditional else None)
    report(folder, request.output, len(samples), found)


def _write(folder: Path, samples: np.ndarray, labels: np.ndarray | None) -> None:
    """Writes samples.npz, with the labels if there are any, and a grid of images."""
    arrays: dict[str, Any] = {"samples": samples} | ({} if labels is None else {"labels": labels})
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / SAMPLES, **arrays)
        if samples.ndim == 4:
            (folder / GRID).write_bytes(png(image_grid(samples[:SHOWN])))
