"""What a system of images needs besides its algorithm: data, batches, samples, validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import RunState
from jaxgan.core.steps import Step
from jaxgan.images.data.batches import place, schedule
from jaxgan.images.data.dataset import Images, digests
from jaxgan.images.data.opening import open_data
from jaxgan.images.evaluation.validation import Sample, Sampler, Validation
from jaxgan.images.settings import CHOICES, RANGES, check

PER_PROGRAM = 100
"""The most steps in one compiled program. A batch is only its indices, so many fit."""


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

    def recipe(
        self,
        *,
        init: Callable[[jax.Array], RunState],
        step: Step,
        moves: Sequence[str],
        sample: Sample,
        minibatches: int = 1,
        optional_players: Sequence[str] = (),
    ) -> StepRecipe:
        """Returns a recipe whose round is `config.steps_per_round` steps.

        Args:
            init: (key) -> the state before the first update; pure.
            step: (state, rows int32 [minibatches, B], data) -> (state, metrics); pure. The rows are
                those of fresh minibatches of the data; see `batches.gather`.
            moves: the names of the players that the step changes.
            sample: draws from the player "generator"; see `validation.Sample`.
            minibatches: how many minibatches a step needs.
            optional_players: as `Recipe.optional_players`.
        """
        config, mesh = self._config, self._mesh
        steps, size = config.steps_per_round, config.batch_size
        sharding = NamedSharding(mesh, jax.P(None, devices.DATA))

        def draw(number: int) -> Draw:
            rows = schedule(len(self.train), size, steps * minibatches, config.seed, number)
            batches = devices.put(list(rows.reshape(steps, minibatches, size)), sharding)
            return Draw(batches, {"images": float(rows.size)})

        return StepRecipe(
            mesh,
            init=init,
            step=step,
            moves=moves,
            draw=draw,
            evaluate=Validation(config, self.valid, Sampler(sample, mesh)),
            files={"data.json": digests(self.train, self.valid)},
            optional_players=optional_players,
            shared=(self._resident,),
            batches=min(PER_PROGRAM, steps),
        )
