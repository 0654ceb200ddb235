"""What a system that turns images into images needs besides its algorithm.

The two domains are A and B. Everything here treats pairs and unpaired images in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import data_files, devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import PyTree, RunState, StepResult, step_key
from jaxgan.images import stages
from jaxgan.images.data import built_in_pairs, pair_folders
from jaxgan.images.data.batches import SECOND_DOMAIN_STREAM, schedule, to_floats
from jaxgan.images.data.dataset import DATA
from jaxgan.images.data.domains import Domains, OpenedDomains, digests
from jaxgan.images.data.jitter import jitter
from jaxgan.images.data.opening import IMAGES, POINTS
from jaxgan.images.data.two_classes import open_classes
from jaxgan.images.evaluation.trained_classifier import TrainedClassifier, features_classifier
from jaxgan.images.evaluation.translation import (
    Translate,
    TranslationMetrics,
    Translators,
    comparison_grid,
)
from jaxgan.images.settings import (
    CHOICES,
    RANGES,
    TRANSLATION_CHOICES,
    TRANSLATION_RANGES,
    check,
)
from jaxgan.images.training import PER_PROGRAM
from jaxgan.reporting import media

JITTER_A, JITTER_B = 100, 101
"""Streams of random numbers in a step, separate from those of the systems."""
SHOWN = 16
"""The number of images of each direction in the grid that TensorBoard shows."""


class Rows(NamedTuple):
    """The batch of a step: indices of both domains, int32 [B]; those of pairs are equal."""

    a: jax.Array
    b: jax.Array


class ResidentDomains(NamedTuple):
    """Images of both domains on the devices, uint8 [n, S, S, C] and [m, S, S, C]."""

    a: jax.Array
    b: jax.Array


def open_domains(
    config: ConfigDict, paired: bool, print_report: Callable[[str], None] = print
) -> OpenedDomains:
    """Returns the data of a run, read and checked.

    Args:
        config: the config of the run.
        paired: whether training needs pairs.
        print_report: called once with the text of the report.

    Raises:
        UserError: the data cannot be used; the message says why.
    """
    data = config.data
    if data.kind == "paired":
        opened = pair_folders.open_paired(data)
    elif data.kind == "unpaired":
        if paired:
            raise UserError(
                f"config.data.kind=unpaired: {config.recipe} learns from pairs; choose paired, or "
                "a kind of images, of which pairs are made"
            )
        opened = pair_folders.open_unpaired(data)
    elif data.kind in IMAGES and data.pairs == "classes":
        if paired:
            raise UserError(
                f"config.data.pairs=classes: {config.recipe} learns from pairs, and images of two "
                "classes are not pairs; choose another value"
            )
        opened = open_classes(data)
    elif data.kind in IMAGES:
        opened = built_in_pairs.open_made(data, paired)
    else:
        known = ", ".join(("paired", "unpaired", *IMAGES))
        if data.kind in POINTS:
            raise UserError(
                f"config.data.kind={data.kind}: these are points, and {config.recipe} translates "
                f"images; choose one of {known}"
            )
        raise UserError(f"config.data.kind={data.kind!r}: choose one of {known}")
    train, valid, problems = opened
    lines = [f"train: {train}", f"valid: {valid}", *data_files.describe(problems)]
    print_report(data_files.printable("\n".join(lines)))
    if data.strict:
        data_files.refuse(problems)
    fewest = min(len(train.a), len(train.b))
    if config.batch_size > fewest:
        raise UserError(
            f"config.batch_size={config.batch_size}: the training set has only {fewest} images of "
            "a domain; choose a smaller batch or give more data"
        )
    return opened


class Translation:
    """The data of one run.

    Args:
        config: the config of the run.
        mesh: the devices.
        paired: whether the images of a step are pairs.
        choices: the allowed values of the system's own keys.
        ranges: the lowest and highest allowed values of the system's own keys.

    Attributes:
        train: the training set, which is placed on every device.
        valid: the held-out set.
        shape: (S, S, C) of an image.
        classifier: the classifier that `config.features` names, or None.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        *,
        paired: bool,
        choices: Mapping[str, tuple[Any, ...]],
        ranges: Mapping[str, tuple[float, float]],
    ) -> None:
        check(
            config,
            mesh,
            {**CHOICES, **TRANSLATION_CHOICES, **choices},
            {**RANGES, **TRANSLATION_RANGES, **ranges},
        )
        print_report = print if jax.process_index() == 0 else lambda _: None
        self.train, self.valid, problems = open_domains(config, paired, print_report)
        self.shape: tuple[int, ...] = self.train.a.shape[1:]
        self.classifier = open_classifier(config, self.shape, mesh)
        self._config, self._mesh, self._paired = config, mesh, paired
        self._reports = data_files.list_of(problems)
        self._resident = ResidentDomains(
            *devices.put_replicated((self.train.a, self.train.b), mesh)
        )

    def recipe(
        self,
        *,
        init: Callable[[jax.Array], RunState],
        step: Callable[..., StepResult],
        moves: Sequence[str],
        translations: Mapping[str, Translate],
        memory: PyTree = (),
        staged: bool = False,
    ) -> StepRecipe:
        """Returns a recipe whose round is `config.steps_per_round` steps.

        Args:
            init: (key) -> the state before the first update; pure.
            step: (state, a, b) -> (state, metrics); pure. The images of A and B are float32
                [B, S, S, C] from -1 to 1, cropped and mirrored at random.
            moves: the names of the players that the step changes.
            translations: for each direction, the function that translates.
            memory: the shardings of the memory of the run state.
            staged: whether the system has two stages; its step then also receives the keyword
                `stage`, one of `stages.STAGES`.
        """
        config, mesh, steps = self._config, self._mesh, self._config.steps_per_round

        def draw(number: int) -> Draw:
            def rows(count: int, stream: Sequence[int]) -> np.ndarray:
                return schedule(count, config.batch_size, steps, config.seed, number, *stream)

            a = rows(len(self.train.a), ())
            b = a if self._paired else rows(len(self.train.b), (SECOND_DOMAIN_STREAM,))
            batches: Sequence[PyTree] = devices.put_sharded(list(map(Rows, a, b)), mesh)
            if staged:
                batches = stages.staged(config, number, batches)
            return Draw(batches, {"images": float(a.size + b.size)})

        def step_on_rows(run_state: RunState, batch: Any, data: ResidentDomains) -> StepResult:
            if staged:
                images = self._images(run_state, batch.rows, data)
                return step(run_state, *images, stage=batch.stage)
            return step(run_state, *self._images(run_state, batch, data))

        whole = devices.replicated(mesh)
        return StepRecipe(
            mesh,
            init=init,
            step=step_on_rows,
            moves=moves,
            draw=draw,
            evaluate=validation(
                config, self.valid, translations, mesh, self._paired, self.classifier
            ),
            files={
                DATA: digests(self.train, self.valid),
                **(self.classifier.files if self.classifier else {}),
            },
            reports=self._reports,
            shared=(self._resident,),
            batches=min(PER_PROGRAM, steps),
            phase_starts=stages.phase_starts(config) if staged else (),
            shardings=RunState(whole, whole, whole, memory),  # type: ignore[arg-type]
        )

    def _images(
        self, run_state: RunState, rows: Rows, data: ResidentDomains
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the images of a step, which are cropped and mirrored at random; pure."""
        enlarge, flip = self._config.data.enlarge, self._config.data.flip
        a, b = to_floats(data.a[rows.a]), to_floats(data.b[rows.b])
        if enlarge == 1 and not flip:
            return a, b
        # The images of a pair stay aligned.
        streams = JITTER_A, JITTER_A if self._paired else JITTER_B
        keys = [step_key(run_state, stream) for stream in streams]
        return jitter(a, keys[0], enlarge, flip), jitter(b, keys[1], enlarge, flip)


def open_classifier(
    config: ConfigDict, shape: tuple[int, ...], mesh: Mesh
) -> TrainedClassifier | None:
    """Returns the classifier of `config.features`, or None if it names none; see `Translation`."""
    return features_classifier(config, shape, mesh) if config.features else None


def features_of(
    classifier: TrainedClassifier | None,
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Returns the features of a classifier, for `TranslationMetrics`, or None without one."""
    return (lambda values: classifier(values).features) if classifier else None


def adam(config: ConfigDict) -> optax.GradientTransformation:
    """Returns Adam with the learning rate of a config, which may fall to 0; see `config.decay`."""
    rate: Any = config.learning_rate
    if config.decay.rounds:
        length = config.steps_per_round
        rate = optax.linear_schedule(
            rate, 0.0, config.decay.rounds * length, config.decay.start * length
        )
    return optax.adam(rate, config.adam_b1, config.adam_b2)


def validation(
    config: ConfigDict,
    valid: Domains,
    translations: Mapping[str, Translate],
    mesh: Mesh,
    paired: bool,
    classifier: TrainedClassifier | None,
) -> Callable[[RunState, int], Callable[[], Evaluation]]:
    """Returns a recipe's `evaluate`; see `TranslationMetrics`.

    Args:
        config: the config of the run.
        valid: the held-out set.
        translations: for each direction, the function that translates.
        mesh: the devices.
        paired: whether the objective may use pairs.
        classifier: the classifier in whose features translations are also compared, or None.
    """
    translators = Translators(translations, mesh)
    directions, count = tuple(translations), config.validation.samples
    measured = TranslationMetrics(valid, count, directions, paired, features_of(classifier))

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        started = {
            direction: translators(direction, state.players, source, config.seed)
            for direction, source in measured.sources.items()
        }

        def wait() -> Evaluation:
            outputs = {direction: waited() for direction, waited in started.items()}
            metrics, objective = measured(outputs)
            shown = {
                f"translations/{direction}": media.image(comparison_grid(*images))
                for direction, images in measured.beside(outputs, SHOWN).items()
            }
            return Evaluation(metrics, objective, shown)

        return wait

    return evaluate
