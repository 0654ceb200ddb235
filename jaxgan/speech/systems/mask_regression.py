"""Supervised mask regression: the baseline of MetricGAN's paper (Fu et al. 2019, "IRM (L1)").

One round:

    1. draw N utterances
    2. G's mask times the noisy feature learns to equal the clean feature

No score and no discriminator takes part: what the others of this folder add is measured from here,
and `config.init_from` lets them begin here.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.phase import by_step
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import (
    History,
    Metrics,
    PyTree,
    Record,
    RunState,
    begin,
    descend,
    make_player,
)
from jaxgan.core.timer import Timer
from jaxgan.nn.masked import masked_mean
from jaxgan.speech import training
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks import optimizers
from jaxgan.speech.networks.masking import Masking, as_float, make_masking, masked_feature
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.training import Training

DISTANCES: dict[str, Callable[[jax.Array], jax.Array]] = {"l1": jnp.abs, "mse": jnp.square}
"""What is averaged over the differences between two features."""


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run.

    Attributes:
        masking: front end and generator.
        distance: one of DISTANCES.
        optimizer: of G.
        average_decay: of the average of G's parameters; 0: none is kept.
    """

    masking: Masking
    distance: str
    optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """G before its first update."""
    generator_key, run_key = jax.random.split(key)
    feature = jnp.zeros((1, 1, system.masking.front_end.bins))
    variables = system.masking.generator.init(generator_key, feature, jnp.ones((1,), jnp.int32))
    averaged = system.average_decay > 0
    return begin(run_key, {"generator": make_player(variables, system.optimizer, averaged)})


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: the mean distance of mask times noisy from clean, over valid frames and bins.

    Returns:
        The state, and `loss` [].
    """
    masking = system.masking
    key = jax.random.fold_in(run_state.key, run_state.step)
    noisy, clean = (masking.feature_of(as_float(side)) for side in (batch.noisy, batch.clean))
    valid = jnp.arange(clean.shape[1]) < masking.frames(batch.lengths)[:, None]

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        enhanced = masked_feature(masking, params, noisy, batch.lengths, key)
        value = masked_mean(DISTANCES[system.distance](enhanced - clean), valid[..., None])
        return value, (state, {"loss": value})

    return descend(run_state, "generator", loss, system.optimizer, system.average_decay)


class MaskRegression:
    """The recipe.

    Args:
        config: see configs/mask_regression.py.
        training: data and devices.
    """

    def __init__(self, config: ConfigDict, training: Training) -> None:
        self.config = config
        self.training = training
        self.keeps = training.keeps
        system = System(
            masking=make_masking(config),
            distance=config.distance,
            optimizer=adam(config, config.generator_learning_rate),
            average_decay=config.average_decay,
        )
        self.init = training.begin(functools.partial(init, system=system))
        self.teach_generator = training.phase(functools.partial(generator_step, system=system))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        with timer.part("data"):
            batches, rows = self.training.draw(number)
        with timer.part("generator"):
            state, log = self.teach_generator(state, batches)
            losses = [step["loss"] for step in by_step(self.training.fetch(log))]
        seconds = self.training.seconds(rows)
        return state, {}, {"g_loss": float(np.mean(losses)), "throughput/audio_seconds": seconds}

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation set."""
        return self.training.evaluate(state, number)

    def close(self) -> None:
        """Ends threads and worker processes."""
        self.training.close()


CHOICES = training.CHOICES | {"distance": tuple(DISTANCES)}


def make(config: ConfigDict, mesh: Mesh) -> MaskRegression:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config, CHOICES, training.RANGES | optimizers.RANGES)
    return training.assemble(config, mesh, MaskRegression)
