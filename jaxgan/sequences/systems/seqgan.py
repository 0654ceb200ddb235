"""SeqGAN (Yu, Zhang, Wang and Yu, AAAI 2017): a generator of tokens learns from rewards.

Every round is of one of three kinds, in this order:

    1. pretraining of G: one epoch of likelihood, or of scheduled sampling
    2. pretraining of D: G draws as many sequences as there are data, and D learns to tell the two
       apart for `epochs` epochs
    3. adversarial:
         g_steps times:
           G draws a batch of sequences
           the roll-out policy completes every prefix of each of them `roll_outs` times
           the reward of a token is the mean judgement by D of the completions after it
           G follows the policy gradient
         the roll-out policy moves towards G
         d_steps times: as a round of kind 2

The first adversarial round starts with a new optimizer of G, and with G as the roll-out policy.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
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
from jaxgan.core.timer import Timer
from jaxgan.sequences import losses
from jaxgan.sequences.commands import declare
from jaxgan.sequences.data.corpora import Corpus, open_corpus
from jaxgan.sequences.evaluation.validation import Validation
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.inference import generate
from jaxgan.sequences.networks.language_model import SequenceModel, previous_tokens
from jaxgan.sequences.networks.roll_outs import expected_judgements, roll_out
from jaxgan.sequences.networks.sampling import scheduled_inputs
from jaxgan.sequences.settings import RANGES, check
from jaxgan.sequences.training import (
    Training,
    average,
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
        judge: where rewards come from: "discriminator", or for control experiments "constant" or
            "random".
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
    """Moves G once, down the mean of -log p over the tokens of a batch.

    Args:
        run_state: the state.
        rows: int32 [B], the sequences of the batch.
        data: int32 [N, T].
        truth: float32 [], the share of the data's tokens among G's inputs: 1 is teacher forcing,
            less is scheduled sampling.
        system: what is fixed.

    Returns:
        The state, and `likelihood_loss` [].
    """
    model, tokens = system.generator, data[rows]
    key = step_key(run_state, DATA_STREAM)
    params = run_state.players["generator"].params
    # Teacher forcing does not pay for the draws of scheduled sampling.
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
    """Moves D once, down its loss on a batch of real and generated sequences.

    Args:
        run_state: the state.
        rows: int32 [B], the sequences of the batch; those from N on are of `generated`.
        real: int32 [N, T].
        generated: int32 [M, T].
        system: what is fixed.

    Returns:
        The state, and `d_loss` [] and `d_accuracy` [].
    """
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


def explore(run_state: RunState, rows: jax.Array, *, system: System) -> tuple[jax.Array, jax.Array]:
    """Draws sequences from G and returns them with the rewards of their tokens.

    Args:
        run_state: the state.
        rows: int32 [B], the numbers of the sequences.
        system: what is fixed.

    Returns:
        int32 [B, T], the sequences, and float32 [B, T], the rewards.
    """
    tokens = sample(run_state, rows, system=system)
    if system.judge == "constant":
        return tokens, jnp.ones(tokens.shape)
    if system.judge == "random":
        return tokens, jax.random.uniform(step_key(run_state, RANDOM_STREAM), tokens.shape)
    completions = roll_out(
        system.generator,
        run_state.memory["roll_out"],
        step_key(run_state, ROLL_OUT_STREAM),
        tokens,
        rows,
        system.roll_outs,
        system.mesh,
    )
    params = run_state.players["discriminator"].params
    return tokens, expected_judgements(
        system.discriminator, params, tokens, completions, system.mesh
    )


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


class SeqGAN:
    """The recipe; see `jaxgan.core.recipe.Recipe`.

    Args:
        config: see configs/seqgan.py.
        system: what is fixed.
        corpus: the data.
        validation: measures G.
    """

    optional_players: tuple[str, ...] = ()
    fresh_players: tuple[str, ...] = ()
    history_window: int | None = 0

    def __init__(
        self, config: ConfigDict, system: System, corpus: Corpus, validation: Validation
    ) -> None:
        self.files: Mapping[str, bytes] = corpus.files
        self.reports: Mapping[str, bytes] = {}
        self.validation = validation
        self._config = config
        first_of_d = config.pretrain_rounds + 1
        self.phase_starts = (first_of_d, first_of_d + config.discriminator_rounds)
        self._judge = system.judge
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
        if self._judge == "discriminator":
            for repetition in range(config.d_steps):
                state, of_d = training.discriminator_pass(state, number, repetition, timer)
                found |= of_d
        return state, {}, found

    def generator_pass(self, state: RunState, timer: Timer) -> tuple[RunState, dict[str, float]]:
        """Moves G `g_steps` times, each time with the rewards of newly drawn sequences."""
        reports = []
        for _ in range(self._config.g_steps):
            with timer.part("explore"):
                explored = jax.block_until_ready(self.explore(state, self.training.rows))
            with timer.part("policy"):
                state, report = self.training.policy_steps(state, [explored])
                jax.block_until_ready(state.step)
            reports += report
        return state, average(reports)

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Measures sequences that G draws."""
        evaluation = self.validation.evaluate(state, number)
        return lambda: evaluation

    def close(self) -> None:
        """Does nothing: there are no processes to stop."""


def make(config: ConfigDict, mesh: Mesh) -> SeqGAN:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config, mesh, RANGES)
    corpus = open_corpus(config, mesh)
    system = make_system(config, mesh, corpus)
    validation = open_validation(config, mesh, corpus)
    validation.print_bounds()
    return SeqGAN(config, system, corpus, validation)


def make_system(config: ConfigDict, mesh: Mesh, corpus: Corpus) -> System:
    """Returns the networks and optimizers of a config for a corpus."""
    return System(
        generator=make_generator(config, corpus),
        discriminator=make_discriminator(config, corpus),
        judge=config.judge,
        roll_outs=config.roll_outs,
        baseline=config.baseline,
        likelihood_optimizer=clipped_adam(config.generator_learning_rate, config.gradient_clip),
        policy_optimizer=clipped_adam(config.policy_learning_rate, config.gradient_clip),
        discriminator_optimizer=optax.adam(config.discriminator_learning_rate),
        output_penalty=config.penalty,
        gradient_penalty=config.gradient_penalty,
        mesh=mesh,
    )


def open_validation(config: ConfigDict, mesh: Mesh, corpus: Corpus) -> Validation:
    """Returns what measures the generators of a config."""
    return Validation(config, make_generator(config, corpus), corpus, mesh)


DECLARATION = declare(make, open_validation)
