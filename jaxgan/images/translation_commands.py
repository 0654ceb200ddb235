"""What sample.py, eval.py and jaxgan.load do with a trained translation of images."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, check_same_data, writable
from jaxgan.core.players import deploy
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, TranslationRequest
from jaxgan.core.seeds import load_seed
from jaxgan.core.state import Players
from jaxgan.images.commands import GRID, MEASURED, SAMPLES, compare
from jaxgan.images.data.dataset import DATA, described
from jaxgan.images.data.domains import digests
from jaxgan.images.evaluation.grids import png
from jaxgan.images.evaluation.translation import (
    Translate,
    TranslationMetrics,
    Translators,
    comparison_grid,
)
from jaxgan.images.settings import CHOICES, RANGES, TRANSLATION_CHOICES, TRANSLATION_RANGES
from jaxgan.images.translate_files import translate_files
from jaxgan.images.translation import features_of, open_classifier, open_domains
from jaxgan.reporting.summary import destination, report

SHOWN = 100
"""The most images of a direction in the grid that eval.py writes."""

MakeTranslations = Callable[[ConfigDict, tuple[int, ...]], Mapping[str, Translate]]
"""(config, shape of an image) -> for each direction, the function that translates."""


class ArrayTranslator:
    """Translates images in memory. `jaxgan.load` makes one.

    Attributes:
        directions: the directions that the run has learned: "a_to_b", "b_to_a" or both.
        shape: (S, S, C) of an image.

    Args:
        translators: the compiled programs.
        directions: see above.
        players: the players, on the devices.
        shape: see above.
    """

    def __init__(
        self,
        translators: Translators,
        directions: tuple[str, ...],
        players: Players,
        shape: tuple[int, ...],
    ) -> None:
        self._translators, self._players = translators, players
        self.directions, self.shape = directions, shape

    def __call__(
        self, images: np.ndarray, direction: str | None = None, seed: int = 0
    ) -> np.ndarray:
        """Returns translations, uint8 [n, S, S, C].

        Args:
            images: uint8 [n, S, S, C], n at least 1.
            direction: one of `directions`; by default the first.
            seed: the seed of the noise, for generators that use noise.

        Raises:
            UserError: the images have another shape or type, or there is no such direction.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.shape or not len(images):
            raise UserError(
                f"images: must be uint8 [n, {', '.join(map(str, self.shape))}], not "
                f"{images.dtype} {list(images.shape)}"
            )
        chosen = choose_direction(direction, self.directions, "direction")
        return self._translators(chosen, self._players, images, seed)()


def choose_direction(direction: str | None, directions: tuple[str, ...], name: str) -> str:
    """Returns the requested direction, or the first one if none is requested.

    Args:
        direction: the requested direction, or None.
        directions: those that a run has learned.
        name: the name of the argument or flag, for the message.

    Raises:
        UserError: the run has not learned the requested direction.
    """
    if direction is not None and direction not in directions:
        raise UserError(f"{name}={direction}: this run has only learned {' and '.join(directions)}")
    return direction or directions[0]


class Trained(NamedTuple):
    """A trained translation.

    Attributes:
        translators: its compiled programs.
        directions: the directions that it has learned.
        players: the players, on the devices.
        shape: (S, S, C) of an image.
        mesh: the devices.
    """

    translators: Translators
    directions: tuple[str, ...]
    players: Players
    shape: tuple[int, ...]
    mesh: Mesh


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe],
    make_translations: MakeTranslations,
    *,
    paired: bool,
    choices: Mapping[str, tuple[Any, ...]],
    ranges: Mapping[str, tuple[float, float]],
) -> Declaration:
    """Returns the declaration of a system that turns images into images.

    Args:
        make: makes the recipe.
        make_translations: see `MakeTranslations`.
        paired: whether training needs pairs.
        choices: the allowed values of the system's own keys.
        ranges: the lowest and highest allowed values of the system's own keys.
    """

    def check(config: ConfigDict) -> None:
        configs.check_values(
            config,
            {**CHOICES, **TRANSLATION_CHOICES, **choices},
            {**RANGES, **TRANSLATION_RANGES, **ranges},
        )

    def trained(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> Trained:
        return _load(absolute(workdir), checkpoint, seed_index, make_translations)

    def translate(workdir: epath.PathLike, checkpoint: str, request: TranslationRequest) -> None:
        found = trained(workdir, checkpoint, request.seed_index)
        direction = choose_direction(request.direction, found.directions, "--direction")

        def of_arrays(values: np.ndarray, seed: int) -> Callable[[], np.ndarray]:
            return found.translators(direction, found.players, values, seed)

        translate_files(of_arrays, found.shape, request.input, request.output, request.seed)

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        _evaluate(workdir, checkpoint, request, trained, paired)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> ArrayTranslator:
        return ArrayTranslator(*trained(workdir, checkpoint, seed_index)[:4])

    return Declaration(
        make, evaluate=evaluate, translate=translate, compare=compare, load=load, check=check
    )


def _load(
    folder: epath.Path, checkpoint: str, seed_index: int, make_translations: MakeTranslations
) -> Trained:
    """Returns the trained translation of a run; UserError if there is no such checkpoint."""
    shape, config = described(folder)["shape"], configs.read(folder)
    mesh = devices.make_mesh()
    players = deploy(load_seed(folder, checkpoint, seed_index), mesh)
    with configs.fits(folder):
        translations = make_translations(config, shape)
        image = jax.ShapeDtypeStruct((1, *shape), np.float32)
        for translate in translations.values():
            jax.eval_shape(translate, players, image, jax.random.key(0))
    return Trained(Translators(translations, mesh), tuple(translations), players, shape, mesh)


def _evaluate(
    workdir: epath.PathLike,
    checkpoint: str,
    request: EvaluationRequest,
    trained: Callable[[epath.PathLike, str, int], Trained],
    paired: bool,
) -> None:
    """Measures all held-out images, and writes a summary, the translations and a grid of them.

    Raises:
        UserError: a flag does not fit, the data are not those of the training, or there is no such
            checkpoint.
    """
    refuse_flags(MEASURED, data=request.data, scores=request.scores or None)
    folder = absolute(workdir)
    config = configs.read(folder)
    train, valid, _ = open_domains(config, paired, lambda _: None)
    check_same_data(folder, {DATA: digests(train, valid)})
    translators, directions, players, shape, mesh = trained(workdir, checkpoint, request.seed_index)
    features = features_of(open_classifier(config, shape, mesh))
    everything = max(len(valid.a), len(valid.b))
    metrics = TranslationMetrics(valid, everything, directions, paired, features)
    outputs: dict[str, Any] = {
        direction: translators(direction, players, source, config.seed)()
        for direction, source in metrics.sources.items()
    }
    found, _ = metrics(outputs)
    if jax.process_index() == 0:
        place = destination(folder, request.output)
        shown = [comparison_grid(*images) for images in metrics.beside(outputs, SHOWN).values()]
        with writable(place):
            place.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(place / SAMPLES, **outputs)
            (place / GRID).write_bytes(png(_above(shown)))
    report(folder, request.output, sum(map(len, outputs.values())), found)


def _above(pictures: list[np.ndarray]) -> np.ndarray:
    """Returns pictures one above the other, uint8 [height, width, 3], padded with white."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [
        np.pad(each, ((0, 8), (0, width - each.shape[1]), (0, 0)), constant_values=255)
        for each in pictures
    ]
    return np.concatenate(padded)
