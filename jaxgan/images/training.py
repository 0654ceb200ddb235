"""What a system of images needs besides its algorithm: data, batches, samples, validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import RunState
from jaxgan.core.steps import Step
from jaxgan.images.data.batches import LABELLED_STREAM, Resident, gather, place, schedule
from jaxgan.images.data.dataset import Images, digests
from jaxgan.images.data.opening import open_data
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, Sampler, Validation
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
) -> "Training":
    """Checks the settings of a run and reads its data.

    Args:
        config: of the run.
        mesh: the devices.
        choices: the allowed values of the system's own keys.
        ranges: the lowest and highest allowed values of the system's own keys.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config, mesh, {**CHOICES, **(choices or {})}, {**RANGES, **(ranges or {})})
    # Every process checks the data; one report is enough.
    print_report = print if jax.process_index() == 0 else lambda _: None
    return Training(config, mesh, *open_data(config, print_report))


class Training:
    """The data of one run.

    Args:
        config: of the run.
        mesh: the devices.
        train: the training set, which is placed on every device.
        valid: the held-out set.

    Attributes:
        train: as given.
        valid: as given.
        shape: (H, W, C) of an image, or (2,) of a point.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, train: Images, valid: Images) -> None:
        self.train, self.valid, self.shape = train, valid, train.shape
        self._config, self._mesh = config, mesh
        self._resident = place(train, mesh)

    def examples(self, count: int) -> np.ndarray:
        """Returns random training samples as steps see them, float32 [count, *shape] at most.

        For networks whose initial parameters depend on data.
        """
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
        sample: Sample,
        minibatches: int = 1,
        labelled: int = 0,
        measure: MeasurePlayers | None = None,
        optional_players: Sequence[str] = (),
    ) -> StepRecipe:
        """Returns a recipe whose round is `config.steps_per_round` steps.

        Args:
            init: (key) -> the state before the first update; pure.
            step: (state, rows int32 [minibatches, B], data) -> (state, metrics); pure. The rows are
                those of fresh minibatches of the data; see `batches.gather`. With `labelled`, the
                step receives `Rows` in their place.
            moves: the names of the players that the step changes.
            sample: draws from the player "generator"; see `validation.Sample`.
            minibatches: how many minibatches a step needs.
            labelled: L, how many labelled samples a step needs beside them: config's
                `labelled_batch_size`; 0 for a system without labels.
            measure: what validation measures beside the samples; see `validation.MeasurePlayers`.
            optional_players: as `Recipe.optional_players`.

        Raises:
            UserError: the step needs labelled samples, and there are not enough of them.
        """
        config, mesh = self._config, self._mesh
        steps, size = config.steps_per_round, config.batch_size
        sharding = NamedSharding(mesh, jax.P(None, devices.DATA))
        known = self._labelled(labelled) if labelled else None

        def draw(number: int) -> Draw:
            rows = schedule(len(self.train), size, steps * minibatches, config.seed, number)
            batches = devices.put(list(rows.reshape(steps, minibatches, size)), sharding)
            amounts = {"images": float(rows.size)}
            if known is None:
                return Draw(batches, amounts)
            order = schedule(len(known), labelled, steps, config.seed, number, LABELLED_STREAM)
            with_labels = devices.put_sharded(list(known[order]), mesh)
            return Draw(list(map(Rows, batches, with_labels)), amounts)

        return StepRecipe(
            mesh,
            init=init,
            step=step,
            moves=moves,
            draw=draw,
            evaluate=Validation(config, self.valid, Sampler(sample, mesh), measure),
            files={"data.json": digests(self.train, self.valid)},
            optional_players=optional_players,
            shared=(self._resident,),
            batches=min(PER_PROGRAM, steps),
        )

    def _labelled(self, size: int) -> np.ndarray:
        """Returns the indices of the data with a label, int32, which fill a batch of a size."""
        known = np.flatnonzero(self.train.labels >= 0).astype(np.int32)
        if not len(known):
            raise UserError(
                f"config.data.kind={self._config.data.kind}: these data have no labels, which this "
                "system learns from; choose data with classes"
            )
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
