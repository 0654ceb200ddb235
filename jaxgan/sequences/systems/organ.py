"""ORGAN (Guimaraes et al. 2017): SeqGAN with a reward that D and a black-box objective share.

Every round is of one of three kinds, in this order:

    1. pretraining of G: one epoch of likelihood, or of scheduled sampling
    2. pretraining of D: G draws as many sequences as there are data, and D learns to tell the two
       apart for `epochs` epochs
    3. adversarial:
         g_steps times:
           G draws a batch of sequences
           the roll-out policy completes every prefix of each of them `roll_outs` times
           D judges and the objective rates every completion
           the reward of a token is the mean over the completions after it of
             share * judgement + (1 - share) * rating * repetition penalty
           G follows the policy gradient
         the roll-out policy moves towards G
         d_steps times: as a round of kind 2

A sequence that occurs n times among the k-th completions of its batch has the repetition penalty
(number of different ones / number of all) / n. With a share of 0 this is naive reinforcement
learning, with a share of 1 SeqGAN. With BLEU against the data as the objective and a share of 0 it
is the PG-BLEU of SeqGAN's paper. A sequence that the objective cannot rate counts as 0.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices, metrics
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import (
    History,
    LossResult,
    Metrics,
    Players,
    Record,
    RunState,
    descend,
    step_key,
)
from jaxgan.core.steps import by_step
from jaxgan.core.timer import Timer
from jaxgan.sequences import losses
from jaxgan.sequences.commands import declare
from jaxgan.sequences.data.corpora import Corpus, open_corpus
from jaxgan.sequences.evaluation.objectives import ObjectiveValidation, Ratings
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.inference import generate
from jaxgan.sequences.networks.language_model import SequenceModel, previous_tokens
from jaxgan.sequences.networks.roll_outs import expected_judgements, roll_out
from jaxgan.sequences.networks.sampling import scheduled_inputs
from jaxgan.sequences.settings import MAY_CHANGE, OBJECTIVE_RANGES, check
from jaxgan.sequences.training import (
    Training,
    clipped_adam,
    initial_state,
    make_discriminator,
    make_generator,
    select,
)

DATA_STREAM, SAMPLE_STREAM, ROLL_OUT_STREAM, RANDOM_STREAM = range(4)
"""Distinguish the draws of one step from each other."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the language model; the roll-out policy has the same network.
        discriminator: D; with one output it is a Wasserstein critic.
        judge: where judgements come from: "discriminator", or for control experiments "constant" or
            "random".
        share: the share of the judgements in the reward; the objective's is 1 - share.
        repetition_penalty: whether sequences that occur several times in a batch are worth less.
        roll_outs: N, completions of each prefix.
        baseline: whether the mean reward of the other sequences is subtracted.
        likelihood_optimizer: the optimizer of G in pretraining.
        policy_optimizer: the optimizer of G in the adversarial rounds.
        discriminator_optimizer: the optimizer of D.
        output_penalty: weight of half the squared norm of D's output layer.
        gradient_penalty: weight of a critic's gradient penalty.
        mesh: the devices.
    """

    generator: SequenceModel
    discriminator: Discriminator
    judge: str
    share: float
    repetition_penalty: bool
    roll_outs: int
    baseline: bool
    likelihood_optimizer: optax.GradientTransformation
    policy_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    output_penalty: float
    gradient_penalty: float
    mesh: Mesh


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update; the roll-out policy is a copy of G."""
    return initial_state(
        key,
        system.generator,
        system.discriminator,
        system.likelihood_optimizer,
        system.discriminator_optimizer,
    )


def likelihood_step(
    run_state: RunState, rows: jax.Array, data: jax.Array, truth: jax.Array, *, system: System
) -> tuple[RunState, Metrics]:
    """Moves G once, down the mean of -log p over the tokens of the rows, int32 [B], of the data.

    With `truth` below 1 this is scheduled sampling; see `scheduled_inputs`.
    """
    model, tokens = system.generator, data[rows]
    key = step_key(run_state, DATA_STREAM)
    params = run_state.players["generator"].params
    inputs = jax.lax.cond(
        truth < 1,
        lambda: scheduled_inputs(model.network, params, tokens, key, truth),
        lambda: previous_tokens(tokens),
    )

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        value = losses.negative_log_likelihood(model, params, tokens, inputs)
        return value, ({}, {"likelihood_loss": value})

    return descend(run_state, {"generator": system.likelihood_optimizer}, loss)


def discriminator_step(
    run_state: RunState,
    rows: jax.Array,
    real: jax.Array,
    generated: jax.Array,
    *,
    system: System,
) -> tuple[RunState, Metrics]:
    """Moves D once, down its loss on a batch of real and generated sequences; see `select`."""
    tokens, is_real = select(rows, real, generated)
    key = step_key(run_state, DATA_STREAM)

    def loss(players: Players) -> LossResult:
        value, accuracy = losses.discriminator_loss(
            system.discriminator,
            players["discriminator"].params,
            tokens,
            is_real,
            key,
            system.output_penalty,
            system.gradient_penalty,
        )
        return value, ({}, {"d_loss": value, "d_accuracy": accuracy})

    return descend(run_state, {"discriminator": system.discriminator_optimizer}, loss)


def sample(run_state: RunState, rows: jax.Array, *, system: System) -> jax.Array:
    """Returns sequences that G draws in this state, int32 [B, T] for rows int32 [B]."""
    params = run_state.players["generator"].params
    key = step_key(run_state, SAMPLE_STREAM)
    return generate(params, key, rows, model=system.generator, mesh=system.mesh)


def explore(
    run_state: RunState, rows: jax.Array, *, system: System
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws sequences from G, completes their prefixes, and judges all of them.

    Args:
        run_state: the state.
        rows: int32 [B], the numbers of the sequences.
        system: what is fixed.

    Returns:
        int32 [B, T], the sequences; int32 [B, T - 1, N, T], the completions; and float32 [B, T],
        the expected judgement after each token.
    """
    tokens = sample(run_state, rows, system=system)
    completions = roll_out(
        system.generator,
        run_state.memory["roll_out"],
        step_key(run_state, ROLL_OUT_STREAM),
        tokens,
        rows,
        system.roll_outs,
        system.mesh,
    )
    if system.judge == "constant":
        values = jnp.ones(tokens.shape)
    elif system.judge == "random":
        values = jax.random.uniform(step_key(run_state, RANDOM_STREAM), tokens.shape)
    else:
        params = run_state.players["discriminator"].params
        values = expected_judgements(system.discriminator, params, tokens, completions, system.mesh)
    return tokens, completions, values


def mixed_rewards(
    tokens: np.ndarray,
    completions: np.ndarray,
    judgements: np.ndarray,
    *,
    rate: Callable[[np.ndarray], np.ndarray],
    system: System,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the reward of every token, float32 [B, T], and the ratings of the sequences [B].

    Args:
        tokens: int32 [B, T].
        completions: int32 [B, T - 1, N, T].
        judgements: float32 [B, T].
        rate: the objective, int32 [n, T] -> float32 [n]; NaN for a sequence without a rating.
        system: what is fixed.

    Raises:
        UserError: no sequence has a rating.
    """
    batch, length = tokens.shape
    every = np.concatenate([completions.reshape(batch, -1, length), tokens[:, None]], axis=1)
    ratings = rate(every.reshape(-1, length)).reshape(batch, -1)
    if not np.isfinite(ratings).any():
        raise UserError(
            f"config.objective: none of {ratings.size} sequences has a rating, so there is nothing "
            "to learn; try the objective on a few lines of the data"
        )
    rated = np.nan_to_num(ratings, nan=0.0)
    if system.repetition_penalty:
        rated = rated * repetition_penalty(every)
    means = rated[:, :-1].reshape(batch, length - 1, -1).mean(axis=-1)
    objective = np.concatenate([means, rated[:, -1:]], axis=1)
    rewards = system.share * judgements + (1 - system.share) * objective
    return rewards.astype(np.float32), ratings[:, -1]


def repetition_penalty(sequences: np.ndarray) -> np.ndarray:
    """Returns (number of different sequences / number of all) / (copies of each), float32 [B, K].

    Args:
        sequences: int32 [B, K, T]: K batches, each of which is compared within itself.
    """
    batch, count, length = sequences.shape
    _, names = np.unique(sequences.reshape(-1, length), axis=0, return_inverse=True)
    names = names.reshape(batch, count)
    penalty = np.empty((batch, count), np.float32)
    for column in range(count):
        found, places, copies = np.unique(names[:, column], return_inverse=True, return_counts=True)
        penalty[:, column] = len(found) / batch / copies[places]
    return penalty


def policy_step(
    run_state: RunState, batch: tuple[jax.Array, jax.Array], *, system: System
) -> tuple[RunState, Metrics]:
    """Moves G once, along the policy gradient.

    Args:
        run_state: the state.
        batch: int32 [B, T], sequences that G has drawn in this state, and float32 [B, T], the
            rewards of their tokens.
        system: what is fixed.

    Returns:
        The state, and `g_loss` [] and `reward` [], the mean reward of the last tokens.
    """
    tokens, rewards = batch

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        value = losses.policy_loss(system.generator, params, tokens, rewards, system.baseline)
        return value, ({}, {"g_loss": value, "reward": jnp.mean(rewards[:, -1])})

    return descend(run_state, {"generator": system.policy_optimizer}, loss)


class Organ:
    """The recipe; see `jaxgan.core.recipe.Recipe`.

    Args:
        config: see configs/organ.py.
        system: what is fixed.
        corpus: the data.
        validation: measures G; its objective is the reward's.
    """

    optional_players: tuple[str, ...] = ()
    fresh_players: tuple[str, ...] = ()
    history_window: int | None = 0

    def __init__(
        self, config: ConfigDict, system: System, corpus: Corpus, validation: ObjectiveValidation
    ) -> None:
        self.files: Mapping[str, bytes] = corpus.files
        self.reports: Mapping[str, bytes] = {}
        self.validation = validation
        self._config = config
        first_of_d = config.pretrain_rounds + 1
        self.phase_starts = (first_of_d, first_of_d + config.discriminator_rounds)
        self._system = system
        bind = functools.partial(functools.partial, system=system)
        self.training = Training(
            config,
            system.mesh,
            corpus,
            init=bind(init),
            likelihood_step=bind(likelihood_step),
            discriminator_step=bind(discriminator_step),
            policy_step=bind(policy_step),
            generate=bind(sample),
            policy_optimizer=system.policy_optimizer,
        )
        self.init = self.training.init
        self.explore = jax.jit(bind(explore), out_shardings=devices.sharded(system.mesh))
        self._gather = jax.jit(lambda arrays: arrays, out_shardings=devices.replicated(system.mesh))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains for one round; see the top of this file."""
        config, training = self._config, self.training
        first_of_d, first_adversarial = self.phase_starts
        if number < first_of_d:
            state, found = training.likelihood_epoch(state, number, timer)
            return state, {}, found
        if number < first_adversarial:
            state, found = training.discriminator_pass(state, number, 0, timer)
            return state, {}, found
        if number == first_adversarial:
            state = training.start_adversarial(state)
        state, found = self.generator_pass(state, timer)
        state = training.follow(state)
        if self._system.judge == "discriminator":
            for repetition in range(config.d_steps):
                state, of_d = training.discriminator_pass(state, number, repetition, timer)
                found |= of_d
        return state, {}, found

    def generator_pass(self, state: RunState, timer: Timer) -> tuple[RunState, dict[str, float]]:
        """Moves G `g_steps` times, each time with the rewards of newly drawn sequences."""
        calls_before = self.validation.ratings.calls
        steps: list[Metrics] = []
        for _ in range(self._config.g_steps):
            with timer.part("explore"):
                explored = jax.block_until_ready(self.explore(state, self.training.rows))
            with timer.part("reward"):
                rewards, of_objective = self.rewards(*explored)
            with timer.part("policy"):
                state, report = self.training.policy_steps(state, [(explored[0], rewards)])
                [of_step] = by_step(jax.device_get(report))
            steps.append(of_step | of_objective)
        calls = float(self.validation.ratings.calls - calls_before)
        return state, {**metrics.of_round(steps), "cost/objective_calls": calls}

    def rewards(
        self, tokens: jax.Array, completions: jax.Array, judgements: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the reward of every token, float32 [B, T], and the mean rating by name."""
        if self._system.share == 1:
            return judgements, {}
        gathered = self._gather((tokens, completions, judgements))
        rewards, ratings = mixed_rewards(
            *jax.device_get(gathered), rate=self.validation.ratings, system=self._system
        )
        placed = devices.put_sharded(rewards, self._system.mesh)
        return placed, {"objective": np.nan_to_num(ratings).mean()}

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Measures sequences that G draws, by the objective as well."""
        evaluation = self.validation.evaluate(state, number)
        return lambda: evaluation

    def close(self) -> None:
        """Stops the worker processes of the objective."""
        self.validation.close()


def make(config: ConfigDict, mesh: Mesh) -> Organ:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the objective or the data cannot be used; the message says which.
    """
    check(config, mesh, OBJECTIVE_RANGES)
    corpus = open_corpus(config, mesh)
    system = System(
        generator=make_generator(config, corpus),
        discriminator=make_discriminator(config, corpus),
        # Judgements without a share in the reward need not be computed.
        judge=config.judge if config.share else "constant",
        share=config.share,
        repetition_penalty=config.repetition_penalty,
        roll_outs=config.roll_outs,
        baseline=config.baseline,
        likelihood_optimizer=clipped_adam(config.generator_learning_rate, config.gradient_clip),
        policy_optimizer=clipped_adam(config.policy_learning_rate, config.gradient_clip),
        discriminator_optimizer=optax.adam(config.discriminator_learning_rate),
        output_penalty=config.penalty,
        gradient_penalty=config.gradient_penalty,
        mesh=mesh,
    )
    with contextlib.ExitStack() as stack:
        validation = open_validation(config, mesh, corpus)
        stack.callback(validation.close)
        validation.print_bounds()
        recipe = Organ(config, system, corpus, validation)
        stack.pop_all()
    return recipe


def open_validation(config: ConfigDict, mesh: Mesh, corpus: Corpus) -> ObjectiveValidation:
    """Returns what measures the generators of a config, with its worker processes started."""
    with contextlib.ExitStack() as stack:
        ratings = Ratings(config, corpus)
        stack.callback(ratings.close)
        generator = make_generator(config, corpus)
        validation = ObjectiveValidation(config, generator, corpus, mesh, ratings)
        stack.pop_all()
    return validation


DECLARATION = declare(make, open_validation, MAY_CHANGE)
