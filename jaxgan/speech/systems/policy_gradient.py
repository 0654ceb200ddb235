"""Policy gradient on a score without gradient: the baseline "PE policy grad" of MetricGAN's paper.

REINFORCE (Williams 1992) on masks, as in Koizumi et al., "DNN-Based Source Enhancement to Increase
Objective Sound Quality Assessment Score" (2018). One round:

    1. draw N utterances
    2. for every batch:
        draw K masks for each utterance from normal distributions; G gives their means, a second
            network their standard deviations
        enhance the utterance with each mask and score the results
        take a step up the mean of advantage times log-likelihood, with both networks at once

The advantage of a mask is its score minus the mean score of the utterance's other masks. Training
starts from masks that are already good: `config.init_from` names a run of supervised training.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.metrics import Total, average_of
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Metrics,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.methods.policy import draw_gaussian
from jaxgan.methods.reinforce import leave_one_out, reinforce
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.deviation import MaskDeviation
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    as_int16,
    enhance_with_masks,
    init_generator,
    make_denoiser,
    make_masking,
    predict_mask,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.stft import magnitude, stft, valid_frames
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import check_reward, open_training, require_scores

ScoreInStep = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""`TrainingScores.in_step`: (reference, estimate, lengths) -> raw and mapped scores [B, S]."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator, which gives the means.
        deviation: the network that gives the standard deviations.
        score: computes the scores, of which the first column is the reward.
        samples: K, masks drawn for each utterance; at least 2.
        generator_optimizer: the optimizer of G.
        deviation_optimizer: the optimizer of the second network.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    masking: Masking
    deviation: MaskDeviation
    score: ScoreInStep
    samples: int
    generator_optimizer: optax.GradientTransformation
    deviation_optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, deviation_key, run_key = jax.random.split(key, 3)
    feature = jnp.zeros((1, 1, system.masking.front_end.bins))
    generator = init_generator(system.masking, generator_key)
    deviation = system.deviation.init(deviation_key, feature)
    averaged = system.average_decay > 0
    return make_run_state(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer, averaged),
            "deviation": make_player(deviation, system.deviation_optimizer),
        },
    )


def policy(
    system: System, players: Players, noisy: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the mean and the standard deviation of the masks, float32 [B, frames, bins] each.

    Args:
        system: what is fixed.
        players: "generator" and "deviation".
        noisy: feature [B, frames, bins].
        lengths: int32 [B], samples.
    """
    mean = predict_mask(system.masking, players["generator"].params, noisy, lengths)
    deviation: jax.Array = system.deviation.apply(  # type: ignore[assignment]
        players["deviation"].variables, noisy
    )
    return mean, deviation


def log_likelihood(
    masks: jax.Array, mean: jax.Array, deviation: jax.Array, valid: jax.Array
) -> jax.Array:
    """Returns the log-likelihood of each mask up to a constant, float32 [B, K].

    Args:
        masks: [B, K, frames, bins].
        mean: [B, frames, bins].
        deviation: [B, frames, bins].
        valid: bool, broadcastable to `mean`; what is added up.
    """
    distance = (masks - mean[:, None]) / deviation[:, None]
    terms = -0.5 * distance**2 - jnp.log(deviation)[:, None]
    return jnp.sum(jnp.where(valid[:, None], terms, 0), axis=(2, 3))


def policy_loss(scores: jax.Array, likelihood: jax.Array) -> jax.Array:
    """Returns a loss [] whose expected gradient is minus that of the expected score.

    It is a mean over the masks of an utterance and a sum over utterances.

    Args:
        scores: float32 [B, K]; a mask whose score is NaN is left out.
        likelihood: log-likelihoods of the masks, [B, K].
    """
    scored = jnp.isfinite(scores)
    terms = reinforce(likelihood, leave_one_out(scores, scored, axis=1))
    return jnp.sum(masked_mean(terms, scored, axis=1))


def summary(scores: jax.Array, lengths: jax.Array) -> Metrics:
    """Returns the metrics of the scores of a batch.

    Args:
        scores: float32 [B, K], NaN where there is none.
        lengths: int32 [B], samples; 0 marks a padding row.

    Returns:
        `score` and `spread`, averages over utterances of the mean and the standard deviation of
        their scores, and `unscorable`, the number of enhanced utterances without a score.
    """
    scored = jnp.isfinite(scores)
    mean = masked_mean(scores, scored, axis=1, keepdims=True)
    deviation = jnp.sqrt(masked_mean((scores - mean) ** 2, scored, axis=1))
    has_score = jnp.any(scored, axis=1)
    return {
        "score": average_of(mean[:, 0], has_score),
        "spread": average_of(deviation, has_score),
        "unscorable": Total(jnp.sum((lengths > 0)[:, None] & ~scored)),
    }


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves both networks once, towards masks that score higher than an utterance's other masks.

    Returns:
        The state, and the metrics of `summary` and `deviation` [], the mean standard deviation of
        the masks.
    """
    masking, key = system.masking, step_key(run_state)
    spectrum = stft(as_float(batch.noisy), masking.front_end)
    noisy = masking.compress(magnitude(spectrum))
    valid = valid_frames(batch.lengths, noisy.shape[1], masking.front_end)[..., None]
    clean, lengths = (jnp.repeat(x, system.samples, axis=0) for x in (batch.clean, batch.lengths))

    def loss(players: Players) -> LossResult:
        mean, deviation = policy(system, players, noisy, batch.lengths)
        masks = draw_gaussian(mean, deviation, key, system.samples)
        # The masks are clipped here and not when they are drawn, so their likelihood is exact.
        enhanced = as_int16(enhance_with_masks(masking, masks, spectrum, batch.lengths))
        enhanced = enhanced.reshape(clean.shape)
        _, mapped = system.score(clean, enhanced, lengths)
        scores = mapped[:, 0].reshape(-1, system.samples)
        value = policy_loss(scores, log_likelihood(masks, mean, deviation, valid))
        metrics = summary(scores, batch.lengths) | {"deviation": masked_mean(deviation, valid)}
        return value, ({}, metrics)

    optimizers = {
        "generator": system.generator_optimizer,
        "deviation": system.deviation_optimizer,
    }
    return descend(run_state, optimizers, loss, system.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    ranges = {
        "samples": (2, math.inf),
        "deviation": (1e-6, 1),
        "deviation_learning_rate": (0, math.inf),
    }
    # The step waits for its scores, so there is nothing to delay.
    check(config, {**MASK_CHOICES, "scoring.delay": (0,)}, {**MASK_RANGES, **ranges})
    check_reward(config)
    with open_training(config, make_denoiser(config), mesh) as training:
        system = System(
            masking=make_masking(config),
            deviation=MaskDeviation(config.deviation),
            score=training.scores.in_step,
            samples=config.samples,
            generator_optimizer=adam(config, config.generator_learning_rate),
            deviation_optimizer=adam(config, config.deviation_learning_rate),
            average_decay=config.average_decay,
        )
        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("generator", "deviation"),
            optional_players=("deviation",),
            check=require_scores(config.score),
        )


DECLARATION = declare(make, make_denoiser)
