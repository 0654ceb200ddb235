"""A classifier of images, trained by cross-entropy on the images that have a label.

It is not a generator: its last hidden layer gives the features in which generators are measured
(`config.features`), and its accuracy with few labels is what semi-supervised systems are compared
with. In every step the network takes a step down the mean of -log p(y|x) over a minibatch.

Validation reports the accuracy of the running average of the parameters on the held-out data.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.recipe import Declaration, Evaluation, EvaluationRequest, Recipe
from jaxgan.core.state import (
    LossResult,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.images.commands import open_run
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.trained_classifier import Classifier, answers_of, load_classifier
from jaxgan.images.networks.classifier import CHOICES, PLAYER, RANGES, make_classifier
from jaxgan.images.training import open_training
from jaxgan.reporting.summary import report


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        network: (x [B, *shape]) -> logits [B, classes], features [B, d].
        optimizer: the optimizer of the network.
        average_decay: the decay of the running average of the parameters; 0: none is kept.
    """

    network: nn.Module
    optimizer: optax.GradientTransformation
    average_decay: float


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves the network once. Returns the state, and `loss` [] and `accuracy` [] of the batch."""
    images, labels = gather(data, rows[0])

    def loss(players: Players) -> LossResult:
        logits, _ = system.network.apply(players[PLAYER].variables, images)
        value = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        right = jnp.mean(logits.argmax(axis=-1) == labels)
        return value, ({}, {"loss": value, "accuracy": right})

    return descend(run_state, {PLAYER: system.optimizer}, loss, system.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    ranges = {"learning_rate": (0, math.inf), **RANGES}
    training = open_training(config, mesh, CHOICES, ranges, labelled=True)
    system = System(
        network=make_classifier(config, training.shape, len(training.train.classes)),
        optimizer=optax.adam(config.learning_rate),
        average_decay=config.average_decay,
    )

    def init(key: jax.Array) -> RunState:
        network_key, run_key = jax.random.split(key)
        variables = system.network.init(network_key, jnp.zeros((1, *training.shape)))
        player = make_player(variables, system.optimizer, system.average_decay > 0)
        return make_run_state(run_key, {PLAYER: player})

    return training.recipe(
        init=init,
        step=functools.partial(step, system=system),
        moves=(PLAYER,),
        evaluate=validation(Classifier(answers_of(system.network), mesh), training.valid),
    )


def validation(
    classifier: Classifier, valid: Images
) -> Callable[[RunState, int], Callable[[], Evaluation]]:
    """Returns a recipe's `evaluate`: `eval/accuracy` on held-out data, which is the objective."""

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        requested = classifier(state.players[PLAYER], valid.values)

        def wait() -> Evaluation:
            found = accuracy(requested().logits, valid.labels)
            return Evaluation({"eval/accuracy": found}, found)

        return wait

    return evaluate


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of images whose largest logit is that of their label.

    Args:
        logits: float [n, classes].
        labels: int [n]; images without a label (-1) do not count.
    """
    known = labels >= 0
    return float(np.mean(logits.argmax(axis=-1)[known] == labels[known]))


def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
    """Measures a trained classifier on its held-out data and writes summary.json.

    Raises:
        UserError: a flag does not fit, the data are not those of the training, or there is no such
            checkpoint or seed.
    """
    folder, _, _, valid = open_run(workdir, request)
    trained = load_classifier(folder, checkpoint, devices.make_mesh(), request.seed_index)
    answers = trained(valid.values)
    report(folder, request.output, len(valid), {"accuracy": accuracy(answers.logits, valid.labels)})


DECLARATION = Declaration(make, evaluate=evaluate)
