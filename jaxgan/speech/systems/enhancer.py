"""Training on several scores and on a spectral loss at once.

One round:

    1. draw N utterances
    2. for every batch:
       a. for every score without a gradient: the score judges G's output, and a
          discriminator D of its own learns clean -> 1, enhanced -> its score, as in MetricGAN
       b. G takes a step down the weighted sum of one loss for every score and of a compressed
          spectral loss. The loss is 1 - score(G(noisy), clean) where the score has a gradient, and
          (D(G(noisy), clean) - 1)^2 where it has none

One score by itself is easily improved at the cost of others (docs/compare.md), and its gradient may
be a hundred times as large as theirs. So with `weighting="equal_norm"` every loss's gradient with
respect to the enhanced waveforms is divided by a running average of its norm before the weights
apply, as in EnCodec's balancer (Défossez et al., "High fidelity neural audio compression", 2022,
section 3.4). A batch's own norm would not do: those of single utterances differ by a factor of
1,000, and dividing by them leaves half as much of the common direction in an update.

The norm is not that of this gradient itself, but of the gradient with respect to a gain for every
frame and frequency of the noisy speech. PESQ's gradient is large where the speech is quiet, where a
gain changes the waveform little, and SI-SDR's where it is loud. At equal norms with respect to the
waveform, SI-SDR moved a mask network's parameters 24 times as far as PESQ; at equal norms with
respect to gains, 1.8 times.

With "constant" the weights apply to the losses themselves, whose scales are alike: from 0, perfect,
to about 1.

The best checkpoint has the highest mean gain over the noisy speech, in the mapped scores of
validation; one in which any of them falls below the noisy speech's is worse than one in which none
does.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.metrics import Total, average_of
from jaxgan.core.recipe import Evaluation, Recipe
from jaxgan.core.state import (
    LossResult,
    Metrics,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.methods.adversarial import least_squares
from jaxgan.scores.registry import check_scores, get, score_names
from jaxgan.scores.score import Score, with_map
from jaxgan.scores.training_scores import find_device_score, sharded_device_score
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.losses import compressed_spectral_loss, score_loss
from jaxgan.speech.networks import dual_path, masking
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.networks.masking import as_float, as_int16
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import (
    MetricDiscriminator,
    check_discriminator,
    init_discriminator,
)
from jaxgan.speech.networks.stft import FrontEnd, istft, magnitude, stft
from jaxgan.speech.settings import ADAM_RANGES, CHOICES, MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import Training, open_training, require_scores

Objective = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, Metrics]]
"""(enhanced float32 [B, T], clean float32 [B, T], lengths int32 [B]) -> (loss [], metrics)."""
Judge = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""See `System.judge`."""
SPECTRAL = "spectral"
"""The name of the spectral loss among the objectives."""
NORM_DECAY = 0.99
"""Of the running average of the norms. EnCodec has 0.999, for runs of a million updates."""


class Norms(NamedTuple):
    """The running average of the gradients' norms.

    Attributes:
        sums: for each loss, by name, the weighted sum of the norms so far, float32 [].
        weight: the sum of those weights, float32 [].
    """

    sums: dict[str, jax.Array]
    weight: jax.Array

    def updated(self, norms: Mapping[str, jax.Array]) -> "Norms":
        """Returns the averages with the norms of one more batch."""
        sums = {
            name: NORM_DECAY * total + (1 - NORM_DECAY) * norms[name]
            for name, total in self.sums.items()
        }
        return Norms(sums, NORM_DECAY * self.weight + 1 - NORM_DECAY)


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        denoiser: applies the generator.
        init_generator: returns the generator's initial variables, given a key.
        objectives: the losses with gradients of their own, by name.
        surrogates: for each score without a gradient, by name, its discriminator's player.
        discriminator: the network of every discriminator.
        judge: (clean, enhanced, both int16 [B, T], lengths int32 [B]) -> the raw and the mapped
            scores of the surrogates' names, float32 [B, S] each; constant under differentiation.
        weights: the weights of all losses, by name.
        weighting: "equal_norm" or "constant"; see the top of this file.
        optimizer: the optimizer of G.
        discriminator_optimizer: the optimizer of every discriminator.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    denoiser: Denoiser
    init_generator: Callable[[jax.Array], PyTree]
    objectives: Mapping[str, Objective]
    surrogates: Mapping[str, str]
    discriminator: MetricDiscriminator
    judge: Judge | None
    weights: Mapping[str, float]
    weighting: str
    optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    variables = system.init_generator(generator_key)
    averaged = system.average_decay > 0
    players = {"generator": make_player(variables, system.optimizer, averaged)}
    for number, name in enumerate(system.surrogates.values()):
        own_key = jax.random.fold_in(discriminator_key, number)
        bins = system.denoiser.front_end.bins
        variables = init_discriminator(system.discriminator, bins, own_key)
        players[name] = make_player(variables, system.discriminator_optimizer)
    norms = dict.fromkeys((*system.objectives, *system.surrogates), jnp.zeros(()))
    return make_run_state(run_key, players, Norms(norms, jnp.zeros(())))


def predict(
    system: System, player: Player, candidate: jax.Array, clean: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, PyTree]:
    """Returns a D's prediction for waveforms float32 [B, T]: float32 [B], and D's state after it.

    D sees log(1 + magnitude) of both sides, as in MetricGAN+.
    """
    front_end = system.denoiser.front_end
    features = [jnp.log1p(magnitude(stft(side, front_end))) for side in (candidate, clean)]
    frames = front_end.frames(lengths)
    return system.discriminator.apply(
        player.variables, *features, frames, mutable=list(player.state)
    )


def teach(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves every D once: the mean of (D(clean) - 1)^2 plus that of (D(enhanced) - score)^2.

    Returns:
        The state; `d_loss` [], the sum over all D; and for every score `score_NAME`, the average of
        the mapped scores of the enhanced speech, and `unscorable_NAME`.
    """
    assert system.judge is not None
    clean, noisy, lengths = as_float(batch.clean), as_float(batch.noisy), batch.lengths
    params = run_state.players["generator"].params
    enhanced = as_int16(system.denoiser.enhance(params, noisy, lengths))
    _, labels = system.judge(batch.clean, enhanced, lengths)
    filled, total = lengths > 0, jnp.zeros(())
    metrics: Metrics = {}
    for place, (name, player) in enumerate(system.surrogates.items()):
        label = labels[:, place]
        scored = jnp.isfinite(label) & filled

        def loss(players: Players, player: str = player, label: jax.Array = label) -> LossResult:
            own = players[player]
            of_clean, state = predict(system, own, clean, clean, lengths)
            own = dataclasses.replace(own, state=state)
            of_enhanced, state = predict(system, own, as_float(enhanced), clean, lengths)
            value = least_squares(of_clean, 1.0, filled)
            value += least_squares(of_enhanced, label, jnp.isfinite(label) & filled)
            return value, ({player: state}, {"d_loss": value})

        run_state, found = descend(run_state, {player: system.discriminator_optimizer}, loss)
        total += found["d_loss"]
        metrics[f"score_{name}"] = average_of(label, scored)
        metrics[f"unscorable_{name}"] = Total(jnp.sum(filled & ~scored))
    return run_state, {"d_loss": total, **metrics}


def combined_gradient(
    system: System,
    players: Players,
    before: Norms,
    enhanced: jax.Array,
    batch: Batch,
) -> tuple[jax.Array, Norms, Metrics]:
    """Returns the gradient of the weighted losses with respect to enhanced waveforms.

    Args:
        system: what is fixed.
        players: hold the discriminators, which stay as they are.
        before: the average of the norms before this batch.
        enhanced: what G makes of the batch, float32 [B, T].
        batch: clean and noisy speech.

    Returns:
        float32 [B, T]; the average of the norms with this batch; and the metrics: `g_loss` [], the
        weighted sum of the losses; for every objective `loss_NAME` [], `norm_NAME` [] (see
        `norm_of_gains`), and `factor_NAME` [], by which that gradient was multiplied; and those of
        the objectives.
    """
    front_end = system.denoiser.front_end
    clean, lengths = as_float(batch.clean), batch.lengths
    spectrum = stft(as_float(batch.noisy), front_end)
    learned = {
        name: of_surrogate(system, players[player]) for name, player in system.surrogates.items()
    }
    gradients: dict[str, jax.Array] = {}
    norms: dict[str, jax.Array] = {}
    total, metrics = jnp.zeros(()), Metrics()
    for name, objective in (*system.objectives.items(), *learned.items()):
        (loss, more), own = jax.value_and_grad(objective, has_aux=True)(enhanced, clean, lengths)
        gradients[name] = own
        norms[name] = norm_of_gains(own, spectrum, lengths, front_end)
        total += system.weights[name] * loss
        metrics |= {f"loss_{name}": loss, f"norm_{name}": norms[name], **more}
    after = before.updated(norms)
    combined = jnp.zeros_like(enhanced)
    for name, own in gradients.items():
        factor = jnp.asarray(system.weights[name], jnp.float32)
        if system.weighting == "equal_norm":
            # Where no utterance has had a score yet there is no gradient, either.
            average = after.sums[name] / after.weight
            factor = jnp.where(average > 0, factor / jnp.where(average > 0, average, 1), 0)
        combined += factor * own
        metrics[f"factor_{name}"] = factor
    return combined, after, {"g_loss": total, **metrics}


def norm_of_gains(
    gradient: jax.Array, spectrum: jax.Array, lengths: jax.Array, front_end: FrontEnd
) -> jax.Array:
    """Returns the mean over utterances of the norm of a gradient with respect to gains.

    A gain multiplies one frame and frequency of the noisy speech. The level of the speech has no
    influence: where it is low, gradients of the scores are large.

    Args:
        gradient: with respect to enhanced waveforms, float32 [B, T].
        spectrum: the spectrum of the noisy speech, complex64 [B, frames, bins].
        lengths: int32 [B], samples; 0 marks a padding row.
        front_end: the window and the hop of the spectrum.

    Returns:
        float32 [].
    """
    gains = jnp.ones(spectrum.shape)
    _, pull = jax.vjp(lambda each: istft(each * spectrum, lengths, front_end), gains)
    norms = jnp.sqrt(jnp.sum(pull(gradient)[0] ** 2, axis=(1, 2)))
    return jnp.sum(norms) / jnp.maximum(jnp.sum(lengths > 0), 1)


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves every D, then G, down the weighted losses.

    Returns:
        The state, and the metrics of `teach`, if there is a D, and of `combined_gradient`.
    """
    learned: Metrics = {}
    if system.surrogates:
        run_state, learned = teach(run_state, batch, system=system)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        enhanced = system.denoiser.enhance(params, as_float(batch.noisy), batch.lengths)
        fixed = jax.lax.stop_gradient(enhanced)
        gradient, norms, metrics = combined_gradient(
            system, players, run_state.memory, fixed, batch
        )
        # The product with a constant has that constant as its gradient.
        return jnp.sum(gradient * enhanced), ({}, metrics | {"norms": norms})

    moving = {"generator": system.optimizer}
    run_state, metrics = descend(run_state, moving, loss, system.average_decay)
    run_state = dataclasses.replace(run_state, memory=metrics.pop("norms"))
    return run_state, learned | metrics


def of_score(score: Score, device_score: Callable[..., jax.Array]) -> Objective:
    """Returns the objective 1 - score; its metrics are `score_NAME` and `unscorable_NAME`."""

    def objective(
        enhanced: jax.Array, clean: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        loss, mapped, scored = score_loss(score, device_score, clean, enhanced, lengths)
        return loss, {
            f"score_{score.name}": average_of(mapped, scored),
            f"unscorable_{score.name}": Total(jnp.sum((lengths > 0) & ~scored)),
        }

    return objective


def of_surrogate(system: System, player: Player) -> Objective:
    """Returns the objective (D(enhanced, clean) - 1)^2, which has no metrics of its own."""

    def objective(
        enhanced: jax.Array, clean: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        prediction, _ = predict(system, player, enhanced, clean, lengths)
        return least_squares(prediction, 1.0, lengths > 0), {}

    return objective


def of_spectra(front_end: FrontEnd) -> Objective:
    """Returns the spectral objective, which has no metrics of its own."""

    def objective(
        enhanced: jax.Array, clean: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        return compressed_spectral_loss(clean, enhanced, lengths, front_end), {}

    return objective


def combined_objective(metrics: Mapping[str, float], scores: Mapping[str, Score]) -> float:
    """Returns the mean gain of mapped scores over the noisy speech; the least one if negative.

    So a checkpoint with all scores above those of the noisy speech is better than any other, and of
    two in which a score fell, the one in which it fell less is better. NaN if a score is missing.

    Args:
        metrics: the metrics of validation: for every score NAME and NAME_noisy.
        scores: the scores by name.
    """
    gains = [
        float(score.normalise(metrics[name])) - float(score.normalise(metrics[f"{name}_noisy"]))
        for name, score in scores.items()
    ]
    if not all(map(math.isfinite, gains)):
        return math.nan
    return min(gains) if min(gains) < 0 else sum(gains) / len(gains)


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer with the network of a config."""
    return (masking if config.network == "mask" else dual_path).make_denoiser(config)


def init_generator(key: jax.Array, *, config: ConfigDict) -> PyTree:
    """Returns the initial variables of the network of a config."""
    if config.network == "mask":
        return masking.init_generator(masking.make_masking(config), key)
    return dual_path.init_network(dual_path.make_network(config), FrontEnd(**config.front_end), key)


def make_system(config: ConfigDict, training: Training) -> System:
    """Returns the networks, the losses and the optimizers of a config."""
    names = score_names(config.score)
    denoiser = make_denoiser(config)
    objectives: dict[str, Objective] = {}
    surrogates: dict[str, str] = {}
    weights: dict[str, float] = {}
    judged = []
    for name, weight in zip(names, config.score_weights or (1.0,) * len(names), strict=True):
        score = with_map(get(name), config.score_map)
        weights[score.name] = weight
        if find_device_score(name):
            device_score = sharded_device_score(name, training.mesh)
            objectives[score.name] = of_score(score, device_score)
        else:
            judged.append(name)
            surrogates[score.name] = "discriminator_" + re.sub(r"\W", "_", score.name)
    if config.spectral_weight:
        objectives[SPECTRAL] = of_spectra(denoiser.front_end)
        weights[SPECTRAL] = config.spectral_weight
    return System(
        denoiser=denoiser,
        init_generator=functools.partial(init_generator, config=config),
        objectives=objectives,
        surrogates=surrogates,
        discriminator=MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype)),
        judge=training.scores_of(judged, "host").in_step if judged else None,
        weights=weights,
        weighting=config.weighting,
        optimizer=adam(config, config.generator_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        average_decay=config.average_decay,
    )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, a score or the data cannot be used; the message says which.
    """
    ranges = {
        "discriminator_learning_rate": (0, math.inf),
        "spectral_weight": (0, math.inf),
    }
    choices = {"weighting": ("equal_norm", "constant"), "network": ("mask", "dual_path")}
    if config.network == "mask":
        check(config, MASK_CHOICES | choices, MASK_RANGES | ranges)
    else:
        names = ("width", "hidden", "taps")
        ranges |= {f"generator.{name}": (1, math.inf) for name in names}
        check(config, CHOICES | choices, ADAM_RANGES | ranges)
        check_generator(config.generator)
    check_discriminator(config.discriminator)
    check_scores(score_names(config.score), config.score_weights)
    listed = dict.fromkeys((*score_names(config.score), *config.validation.scores))
    found = [with_map(get(name), config.score_map) for name in listed]
    scores = {score.name: score for score in found}
    with open_training(config, make_denoiser(config), mesh) as training:
        system = make_system(config, training)

        def evaluate(run_state: RunState, number: int) -> Callable[[], Evaluation]:
            wait = training.evaluate(run_state, number)

            def judge() -> Evaluation:
                evaluation = wait()
                objective = combined_objective(evaluation.metrics, scores)
                metrics = {**evaluation.metrics, "objective": objective}
                return dataclasses.replace(evaluation, metrics=metrics, objective=objective)

            return judge

        return training.recipe(
            init=functools.partial(init, system=system),
            step=functools.partial(step, system=system),
            moves=("generator", *system.surrogates.values()),
            optional_players=tuple(system.surrogates.values()),
            check=require_scores(config.score, f"score_{next(iter(scores))}"),
            evaluate=evaluate,
        )


def check_generator(config: ConfigDict) -> None:
    """Raises UserError for sizes that a dual-path network cannot have.

    Args:
        config: the section `config.generator` of a run's config.
    """
    if config.taps % 2 == 0:
        raise UserError(f"config.generator.taps={config.taps}: must be odd")
    if not config.dilations or min(config.dilations) < 1:
        raise UserError(
            f"config.generator.dilations={tuple(config.dilations)}: give one of at least 1 for "
            "every block"
        )


DECLARATION = declare(make, make_denoiser)
