"""Supervised mask regression: the baseline "IRM (L1)" of MetricGAN's paper (Fu et al. 2019).

One round:

    1. draw N utterances
    2. for every batch: G's mask times the noisy feature learns to equal the clean feature

Neither a score nor a discriminator takes part. The other systems of this folder can start from such
a run with `config.init_from`, and what they add is measured against it.
"""

import dataclasses
import functools

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.losses import DISTANCES, mask_distance
from jaxgan.speech.networks.masking import Masking, init_generator, make_denoiser, make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator.
        distance: one of `DISTANCES`.
        optimizer: the optimizer of G.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    masking: Masking
    distance: str
    optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, run_key = jax.random.split(key)
    variables = init_generator(system.masking, generator_key)
    player = make_player(variables, system.optimizer, averaged=system.average_decay > 0)
    return make_run_state(run_key, {"generator": player})


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves G once. Returns the state and `g_loss` [], the mean distance of `mask_distance`."""
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        value = mask_distance(system.masking, params, batch, key, system.distance)
        return value, ({}, {"g_loss": value})

    return descend(run_state, {"generator": system.optimizer}, loss, system.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    check(config, {**MASK_CHOICES, "distance": tuple(DISTANCES)}, MASK_RANGES)
    system = System(
        masking=make_masking(config),
        distance=config.distance,
        optimizer=adam(config, config.generator_learning_rate),
        average_decay=config.average_decay,
    )
    with open_training(config, make_denoiser(config), mesh) as training:
        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("generator",),
        )


DECLARATION = declare(make, make_denoiser)
