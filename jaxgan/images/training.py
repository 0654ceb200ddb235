"""What a system of images needs besides its algorithm: data, batches, samples, validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.core import devices, metrics, seeds
from jaxgan.core.data_files import list_of
from jaxgan.core.errors import UserError
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import PyTree, RunState
from jaxgan.core.steps import Step
from jaxgan.images import stages
from jaxgan.images.data.batches import LABELLED_STREAM, Resident, gather, place, schedule
from jaxgan.images.data.dataset import DATA, Images, digests
from jaxgan.images.data.opening import open_data
from jaxgan.images.evaluation.validation import (
    Evaluate,
    Sample,
    SampleMetrics,
    Sampler,
    Validation,
    both,
)
from jaxgan.images.settings import CHOICES, RANGES, check

PER_PROGRAM = 100
"""The most steps in one compiled program. A batch is only its indices, so many fit."""


class Rows(NamedTuple):
    """The batch of a step that learns from few labels: indices of the data, see `batches.gather`.

    Attributes:
        all: int32 [minibatches, B], of all data. A step uses their images and not their labels.
        labelled: int32 [L], of the data with a label.
    """

    all: jax.Array
    labelled: jax.Array


def open_training(
    config: ConfigDict,
    mesh: Mesh,
    choices: Mapping[str, tuple[Any, ...]] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    labelled: bool = False,
) -> "Training":
    """Checks the settings of a run and reads its data.

    Args:
        config: the config of the run.
        mesh: the devices.
        choices: the allowed values of the system's own keys.
        ranges: the lowest and highest allowed values of the system's own keys.
        labelled: whether minibatches hold only data with a label.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config, mesh, {**CHOICES, **(choices or {})}, {**RANGES, **(ranges or {})})
    # Every process checks the data; one report is enough.
    print_report = print if jax.process_index() == 0 else lambda _: None
    train, valid, problems = open_data(config, print_report)
    rows = np.arange(len(train), dtype=np.int32)
    if labelled:
        rows = _labelled(config, train)
        if config.batch_size > len(rows):
            raise UserError(
                f"config.batch_size={config.batch_size}: only {len(rows)} training images have a "
                "label; choose a smaller batch"
            )
    return Training(config, mesh, train, valid, rows, list_of(problems))


class Training:
    """The data of one run.

    Args:
        config: the config of the run.
        mesh: the devices.
        train: the training set, which is placed on every device.
        valid: the held-out set.
        rows: int32, the indices of the training set that minibatches are drawn from.
        reports: the unusable files, for `Recipe.reports`.

    Attributes:
        train: the training set.
        valid: the held-out set.
        shape: (H, W, C) of an image, or (2,) of a point.
    """

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        train: Images,
        valid: Images,
        rows: np.ndarray,
        reports: Mapping[str, bytes],
    ) -> None:
        self.train, self.valid, self.shape = train, valid, train.shape
        self._config, self._mesh, self._rows = config, mesh, rows
        self._reports = reports
        self._resident = place(train, mesh)

    def examples(self, count: int) -> np.ndarray:
        """Returns random training samples as steps see them, float32 [count, *shape] at most.

        For networks whose initial parameters depend on data.

        Raises:
            UserError: several seeds are asked for; each would need networks of its own.
        """
        if self._config.seeds > 1:
            raise UserError(
                f"config.seeds={self._config.seeds}: the initial networks of "
                f"{self._config.recipe} depend on data that config.seed draws; start one run per "
                "seed with config.seed"
            )
        rows = np.random.default_rng(self._config.seed).permutation(len(self.train))[:count]
        chosen = self.train.select(rows)
        on_device = Resident(jnp.asarray(chosen.values), jnp.asarray(chosen.labels))
        return np.asarray(gather(on_device, jnp.arange(len(rows)))[0])

    def recipe(
        self,
        *,
        init: Callable[[jax.Array], RunState],
        step: Step,
        moves: Sequence[str],
        sample: Sample | None = None,
        conditional: bool = False,
        evaluate: Evaluate | None = None,
        minibatches: int = 1,
        labelled: int = 0,
        optional_players: Sequence[str] = (),
        staged: bool = False,
    ) -> StepRecipe:
        """Returns a recipe whose round is `config.steps_per_round` steps.

        Args:
            init: (key) -> the state of one seed before the first update; pure.
            step: the step for one seed: (state, rows int32 [minibatches, B], data) -> (state,
                metrics); pure. The rows are those of fresh minibatches of the data; see
                `batches.gather`. With `labelled`, the step receives `Rows` in their place.
            moves: the names of the players that the step changes.
            sample: draws from the player "generator"; see `validation.Sample`. Validation measures
                the samples. None for a system that generates nothing.
            conditional: whether samples are drawn for given classes.
            evaluate: the system's own validation, in addition to that of the samples; see
                `validation.both` for the objective.
            minibatches: how many minibatches a step needs.
            labelled: L, how many labelled samples a step needs in addition: the config's
                `labelled_batch_size`; 0 for a system without labels.
            optional_players: see `Recipe.optional_players`.
            staged: whether the system has two stages; its step then receives `stages.Staged` rows.

        Raises:
            UserError: the step needs labelled samples, and there are not enough of them.
        """
        config, mesh = self._config, self._mesh
        steps, size = config.steps_per_round, config.batch_size
        sharding = NamedSharding(mesh, jax.P(None, devices.DATA))
        known = self._labelled_for(labelled) if labelled else None
        several, numbers = config.seeds > 1, [config.seed + i for i in range(config.seeds)]

        def of_seeds(rows: Callable[[int], np.ndarray]) -> list[np.ndarray]:
            """Returns the rows of each step, for all seeds together if there are several."""
            each = [rows(seed) for seed in numbers]
            return list(np.stack(each, axis=1) if several else each[0])

        def draw(number: int) -> Draw:
            def of_all(seed: int) -> np.ndarray:
                order = schedule(len(self._rows), size, steps * minibatches, seed, number)
                return self._rows[order].reshape(steps, minibatches, size)

            rows = of_seeds(of_all)
            batches: Sequence[PyTree] = devices.put(rows, sharding)
            if staged:
                batches = stages.staged(config, number, batches)
            amounts = {"images": float(sum(each.size for each in rows))}
            if known is None:
                return Draw(batches, amounts)

            def of_labelled(seed: int) -> np.ndarray:
                return known[schedule(len(known), labelled, steps, seed, number, LABELLED_STREAM)]

            with_labels = devices.put_sharded(of_seeds(of_labelled), mesh)
            return Draw(list(map(Rows, batches, with_labels)), amounts)

        files = {DATA: digests(self.train, self.valid)}
        if sample:
            of_samples = SampleMetrics(config, self.train, self.valid, mesh, conditional)
            classes, sampler = len(self.valid.classes), Sampler(sample, mesh)
            each: list[Evaluate] = [
                Validation(config, classes, sampler, of_samples, seed) for seed in numbers
            ]
            if evaluate:
                each = [both(evaluate, validation) for validation in each]
            files.update(of_samples.files)
        elif evaluate:
            each = [evaluate] * len(numbers)
        else:
            raise ValueError("give `sample`, `evaluate`, or both")
        if several:
            init = seeds.stacked_init(init, config.seed, config.seeds)
            step = seeds.stacked_step(step)

        return StepRecipe(
            mesh,
            init=init,
            step=step,
            moves=moves,
            draw=draw,
            evaluate=seeds.stacked_evaluate(each) if several else each[0],
            files=files,
            reports=self._reports,
            optional_players=optional_players,
            shared=(self._resident,),
            batches=min(PER_PROGRAM, steps),
            phase_starts=stages.phase_starts(config) if staged else (),
            summarise=seeds.of_round if several else metrics.of_round,
        )

    def _labelled_for(self, size: int) -> np.ndarray:
        """Returns the indices of the data with a label, int32, which fill a batch of a size."""
        known = _labelled(self._config, self.train)
        if size > len(known):
            raise UserError(
                f"config.labelled_batch_size={size}: only {len(known)} of the training set have a "
                "label; choose a smaller batch or raise config.data.labelled"
            )
        if size % self._mesh.size:
            raise UserError(
                f"config.labelled_batch_size={size}: must be a multiple of the {self._mesh.size} "
                "devices"
            )
        return known


def _labelled(config: ConfigDict, train: Images) -> np.ndarray:
    """Returns the indices of the data with a label, int32; UserError if there are none."""
    known = np.flatnonzero(train.labels >= 0).astype(np.int32)
    if not len(known):
        raise UserError(
            f"config.data.kind={config.data.kind}: these data have no labels, and {config.recipe} "
            "learns from labels; choose other data"
        )
    return known
