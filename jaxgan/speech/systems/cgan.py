"""Conditional GAN for enhancement: the adversarial baseline "IRM (CGAN)" of MetricGAN's paper.

A least-squares GAN (Mao et al. 2017) on spectral features, with the noisy speech as the condition.
One round:

    1. draw N utterances
    2. for every batch:
        D takes a step down (D(clean, noisy) - 1)^2 + D(G(noisy), noisy)^2
        G takes a step down (D(G(noisy), noisy) - 1)^2 + lambda |G(noisy) - clean|

It differs from MetricGAN (Fu et al. 2019, table 1) in two ways:

    |                              | CGAN             | MetricGAN        |
    | D's label of enhanced speech | 0                | its score        |
    | D's second input             | the noisy speech | the clean speech |

D's label ignores how good the enhanced speech is, so G also needs the distance from clean speech.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.losses import discriminator_loss, generator_loss
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    init_generator,
    make_denoiser,
    make_masking,
    masked_feature,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import (
    MetricDiscriminator,
    check_discriminator,
    init_discriminator,
)
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator.
        discriminator: the network of D.
        generator_optimizer: the optimizer of G.
        discriminator_optimizer: the optimizer of D.
        l1_weight: lambda, the weight of the distance from clean speech in G's loss.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    masking: Masking
    discriminator: MetricDiscriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    l1_weight: float
    average_decay: float


class Features(NamedTuple):
    """The spectral features of a batch.

    Attributes:
        clean: float32 [B, frames, bins].
        noisy: float32 [B, frames, bins].
        lengths: int32 [B], samples; 0 marks a padding row.
        frames: int32 [B], valid frames.
    """

    clean: jax.Array
    noisy: jax.Array
    lengths: jax.Array
    frames: jax.Array


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    bins = system.masking.front_end.bins
    generator = init_generator(system.masking, generator_key)
    discriminator = init_discriminator(system.discriminator, bins, discriminator_key)
    averaged = system.average_decay > 0
    return make_run_state(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer, averaged),
            "discriminator": make_player(discriminator, system.discriminator_optimizer),
        },
    )


def features_of(batch: Batch, masking: Masking) -> Features:
    """Returns the features of a batch's waveforms."""
    clean, noisy = (masking.feature_of(as_float(wave)) for wave in (batch.clean, batch.noisy))
    return Features(clean, noisy, batch.lengths, masking.frames(batch.lengths))


def judge(
    system: System, discriminator: Player, candidate: jax.Array, features: Features
) -> tuple[jax.Array, PyTree]:
    """Returns D's output for each candidate, float32 [B], and D's state after the call.

    Args:
        system: what is fixed.
        discriminator: D's parameters and state.
        candidate: float32 [B, frames, bins], clean or enhanced.
        features: hold the condition.
    """
    return system.discriminator.apply(
        discriminator.variables,
        candidate,
        features.noisy,
        features.frames,
        mutable=list(discriminator.state),
    )


def discriminator_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves D once, down (D(clean, noisy) - 1)^2 + D(G(noisy), noisy)^2.

    Returns:
        The state, and `d_loss` [] and the means of D's output for clean and enhanced speech,
        `d_clean` [] and `d_enhanced` [].
    """
    features = features_of(batch, system.masking)
    params, key = run_state.players["generator"].params, step_key(run_state)
    enhanced = masked_feature(system.masking, params, features.noisy, features.lengths, key)
    filled = features.lengths > 0

    def loss(players: Players) -> LossResult:
        player = players["discriminator"]
        of_clean, state = judge(system, player, features.clean, features)
        of_enhanced, state = judge(
            system, dataclasses.replace(player, state=state), enhanced, features
        )
        value, metrics = discriminator_loss(of_clean, of_enhanced, filled)
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.discriminator_optimizer}, loss)


def generator_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves G once, down (D(G(noisy), noisy) - 1)^2 + lambda |G(noisy) - clean|.

    Returns:
        The state, and `g_loss`, `g_adversarial` and `g_distance`, each [].
    """
    features = features_of(batch, system.masking)
    valid = jnp.arange(features.clean.shape[1]) < features.frames[:, None]
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        enhanced = masked_feature(system.masking, params, features.noisy, features.lengths, key)
        output, _ = judge(system, players["discriminator"], enhanced, features)
        filled, difference = features.lengths > 0, enhanced - features.clean
        value, metrics = generator_loss(
            output, filled, difference, valid[..., None], system.l1_weight
        )
        return value, ({}, metrics)

    return descend(run_state, {"generator": system.generator_optimizer}, loss, system.average_decay)


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    run_state, of_discriminator = discriminator_step(run_state, batch, system=system)
    run_state, of_generator = generator_step(run_state, batch, system=system)
    return run_state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    ranges = {"l1_weight": (0, math.inf), "discriminator_learning_rate": (0, math.inf)}
    check(config, MASK_CHOICES, {**MASK_RANGES, **ranges})
    check_discriminator(config.discriminator)
    system = System(
        masking=make_masking(config),
        discriminator=MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype)),
        generator_optimizer=adam(config, config.generator_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        l1_weight=config.l1_weight,
        average_decay=config.average_decay,
    )
    with open_training(config, make_denoiser(config), mesh) as training:
        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("discriminator", "generator"),
            optional_players=("discriminator",),
        )


DECLARATION = declare(make, make_denoiser)
