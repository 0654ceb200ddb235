"""Training on a score that has a gradient: the white-box alternative to MetricGAN.

One round:

    1. draw N utterances
    2. for every batch: G enhances it and takes a step down 1 - score(G(noisy), clean)

The score's JAX function must pass gradients (docs/scores.md lists the scores whose function does).
G learns nothing that the score does not measure: trained on PESQ, it leaves sounds that PESQ
ignores.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.metrics import Total, average_of
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
from jaxgan.scores.registry import get
from jaxgan.scores.score import Score, with_map
from jaxgan.scores.training_scores import (
    DeviceScore,
    find_device_score,
    sharded_device_score,
)
from jaxgan.speech import losses
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    enhance,
    init_generator,
    make_denoiser,
    make_masking,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import open_training, require_scores


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator.
        score: maps raw scores to [0, 1].
        device_score: computes raw scores.
        optimizer: the optimizer of G.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    masking: Masking
    score: Score
    device_score: DeviceScore
    optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, run_key = jax.random.split(key)
    variables = init_generator(system.masking, generator_key)
    player = make_player(variables, system.optimizer, averaged=system.average_decay > 0)
    return make_run_state(run_key, {"generator": player})


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves G once, down the mean of 1 - score(G(noisy), clean).

    Returns:
        The state; `g_loss` []; `score`, the average of the mapped scores; and `unscorable`, the
        number of utterances without a score, which take no part in the loss.
    """
    clean, noisy = as_float(batch.clean), as_float(batch.noisy)
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        enhanced = enhance(system.masking, params, noisy, batch.lengths, key)
        value, mapped, scored = losses.score_loss(
            system.score, system.device_score, clean, enhanced, batch.lengths
        )
        metrics = {
            "g_loss": value,
            "score": average_of(mapped, scored),
            "unscorable": Total(jnp.sum((batch.lengths > 0) & ~scored)),
        }
        return value, ({}, metrics)

    return descend(run_state, {"generator": system.optimizer}, loss, system.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    check(config, MASK_CHOICES, MASK_RANGES)
    if find_device_score(config.score) is None:
        raise UserError(
            f"config.score={config.score}: this score has no JAX function, so there is no gradient "
            "to follow; choose a score that has one (docs/scores.md)"
        )
    system = System(
        masking=make_masking(config),
        score=with_map(get(config.score), config.score_map),
        device_score=sharded_device_score(config.score, mesh),
        optimizer=adam(config, config.generator_learning_rate),
        average_decay=config.average_decay,
    )
    with open_training(config, make_denoiser(config), mesh) as training:
        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("generator",),
            check=require_scores(config.score),
        )


DECLARATION = declare(make, make_denoiser)
