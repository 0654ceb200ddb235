"""SeqGAN (Yu, Zhang, Wang and Yu, AAAI 2017): a generator of tokens that learns from rewards.

Every round is of one of three kinds, in this order:

    1. pretraining of G: one epoch of likelihood (or of scheduled sampling)
    2. pretraining of D: G draws as many sequences as there are data; `epochs` over both
    3. adversarial:
         g_steps times: G draws a batch; the roll-out policy completes every beginning `roll_outs`
           times; the mean of D's judgements is the reward of each token; G moves
         the roll-out policy follows G with its delay
         d_steps times: as round of kind 2

The steps are in `likelihood`, `adversary` and `policy`.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import History, Metrics, Record, RunState
from jaxgan.core.timer import Timer
from jaxgan.sequences.data import vocabulary
from jaxgan.sequences.data.corpora import Corpus, open_corpus
from jaxgan.sequences.evaluation.validation import Validation
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.language_model import LanguageModel
from jaxgan.sequences.networks.rows import move_large
from jaxgan.sequences.systems.adversary import discriminator_epoch
from jaxgan.sequences.systems.checks import check
from jaxgan.sequences.systems.likelihood import likelihood_epoch
from jaxgan.sequences.systems.policy import Explored, begin_policy, explore, follow, policy_step
from jaxgan.sequences.systems.system import SAMPLE_STREAM, System, init, step_key


class SeqGAN:
    """The recipe: what `jaxgan.core.loop` drives.

    Args:
        config: see configs/seqgan.py.
        mesh: the devices.
        corpus: the data.

    Attributes:
        keeps: files that the loop keeps in the run's folder: the vocabulary of a text, and what
            tells it from others.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, corpus: Corpus) -> None:
        self.config = config
        self.mesh = mesh
        self.corpus = corpus
        self.system = make_system(config, mesh, corpus)
        self.validation = Validation(config, self.system.generator, corpus, mesh)
        text = corpus.vocabulary
        self.keeps = {}
        if text:
            self.keeps = {vocabulary.FILE: text.to_bytes(), "data.json": corpus.digest()}
        self.batch = config.batch_size
        self.data = devices.put_replicated(corpus.train, mesh)
        self.compile()

    def compile(self) -> None:
        """Binds what is fixed to the steps; each compiles once."""
        system, whole = self.system, devices.replicated(self.mesh)

        def move(step: Any) -> Any:
            bound = functools.partial(step, system=system)
            return jax.jit(bound, donate_argnums=0, out_shardings=whole)

        def negatives(state: RunState, rows: jax.Array) -> jax.Array:
            key = step_key(state, SAMPLE_STREAM)
            return system.generate(state.players["generator"].params, key, rows)

        self.init = jax.jit(functools.partial(init, system=system), out_shardings=whole)

        def move_whole(step: Any) -> Any:
            return move_large(functools.partial(step, system=system), self.mesh)

        self.likelihood_epoch = move_whole(likelihood_epoch)
        self.discriminator_epoch = move_whole(discriminator_epoch)
        self.begin_policy = move(begin_policy)
        self.policy_step = move(policy_step)
        self.follow = move(follow)
        self.explore = jax.jit(self.look, out_shardings=devices.sharded(self.mesh))
        self.negatives = jax.jit(negatives, out_shardings=whole)

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        config = self.config
        if number <= config.pretrain_rounds:
            state, metrics = self.likelihood_round(state, number, timer)
            return state, {}, metrics
        if number <= config.pretrain_rounds + config.discriminator_rounds:
            state, d_metrics = self.discriminator_pass(state, number, 0, timer)
            return state, {}, d_metrics
        if number == config.pretrain_rounds + config.discriminator_rounds + 1:
            state = self.begin_policy(state)
        state, metrics = self.policy_pass(state, timer)
        state = self.follow(state)
        if self.system.judge == "discriminator":
            for repetition in range(config.d_steps):
                state, d_metrics = self.discriminator_pass(state, number, repetition, timer)
                metrics |= d_metrics
        return state, {}, metrics

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The metrics of `Validation`."""
        found = self.validation(state, number)
        return lambda: found

    def close(self) -> None:
        """Nothing to close."""

    def look(self, state: RunState, rows: jax.Array) -> Explored:
        """`explore` without the completions, which are not even drawn where D is not asked."""
        return explore(state, rows, system=self.system)._replace(completions=None)

    def likelihood_round(
        self, state: RunState, number: int, timer: Timer
    ) -> tuple[RunState, dict[str, Any]]:
        """G learns from the data once, in a random order."""
        count = len(self.corpus.train) // self.batch
        order = self.random(number).permutation(len(self.corpus.train))[: count * self.batch]
        truth = max(0.0, 1 - self.config.scheduled_sampling * (number - 1))
        placed = devices.put_replicated(np.float32(truth), self.mesh)
        with timer.part("likelihood"):
            state, metrics = self.likelihood_epoch(state, self.data, self.in_batches(order), placed)
            jax.block_until_ready(state.step)
        tokens = float(count * self.batch * self.system.length)
        told = {"likelihood_loss": metrics["loss"], "truth": truth, "throughput/tokens": tokens}
        return state, told

    def discriminator_pass(
        self, state: RunState, number: int, repetition: int, timer: Timer
    ) -> tuple[RunState, dict[str, Any]]:
        """D learns from what G draws now and as many data, in several epochs."""
        config, total = self.config, len(self.corpus.train)
        half = total // self.batch * self.batch
        if config.discriminator_batches:
            half = min(half, config.discriminator_batches * self.batch // 2)
        random = self.random(number, 1 + repetition)
        rows = devices.put_sharded(np.arange(half, dtype=np.int32), self.mesh)
        with timer.part("negatives"):
            made = self.negatives(state, rows)
            jax.block_until_ready(made)
        chosen = np.concatenate([random.permutation(total)[:half], total + np.arange(half)])
        count = len(chosen) // self.batch * self.batch
        metrics: Metrics = {}
        with timer.part("discriminator"):
            for _ in range(config.epochs):
                order = self.in_batches(random.permutation(chosen)[:count])
                state, metrics = self.discriminator_epoch(state, self.data, made, order)
            jax.block_until_ready(state.step)
        return state, {"d_loss": metrics["loss"], "d_accuracy": metrics["accuracy"]}

    def policy_pass(self, state: RunState, timer: Timer) -> tuple[RunState, dict[str, Any]]:
        """G moves `g_steps` times on the rewards of what it draws; their metrics by `merged`."""
        rows = devices.put_sharded(np.arange(self.batch, dtype=np.int32), self.mesh)
        steps: list[dict[str, Any]] = []
        for _ in range(self.config.g_steps):
            with timer.part("explore"):
                explored = self.explore(state, rows)
                jax.block_until_ready(explored.values)
            with timer.part("reward"):
                rewards, told = self.rewards(explored)
            with timer.part("policy"):
                state, found = self.policy_step(state, explored.tokens, rewards)
                jax.block_until_ready(state.step)
            steps.append({"g_loss": found["loss"], "reward": found["reward"], **told})
        return state, merged(jax.device_get(steps))

    def rewards(self, explored: Explored) -> tuple[jax.Array, dict[str, float]]:
        """The reward of every token, float32 [B, T], and what to tell of them (see `merged`)."""
        return explored.values, {}

    def random(self, number: int, stream: int = 0) -> np.random.Generator:
        """Draws of a round that the host makes."""
        return np.random.default_rng((self.config.seed, number, stream))

    def in_batches(self, chosen: np.ndarray) -> jax.Array:
        """int32 [B, S] on the devices, the rows of S batches."""
        batches = chosen.astype(np.int32).reshape(-1, self.batch).T
        placed: jax.Array = devices.put_sharded(np.ascontiguousarray(batches), self.mesh)
        return placed


def merged(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of a round from those of its steps: the sum of what ends in _calls, or the mean."""
    columns = {name: [step[name] for step in steps] for name in steps[0]}
    return {
        name: float(np.sum(values) if name.endswith("_calls") else np.mean(values))
        for name, values in columns.items()
    }


def make_system(config: ConfigDict, mesh: Mesh, corpus: Corpus) -> System:
    """The networks and optimizers of a config."""
    length = corpus.train.shape[1]
    if max(config.discriminator.widths) > length or length < 2:
        raise UserError(
            f"config.discriminator.widths={config.discriminator.widths}: the sequences have "
            f"{length} tokens (with the end of a text's lines); choose none wider"
        )

    def adam(rate: float) -> optax.GradientTransformation:
        clip = config.gradient_clip or math.inf
        return optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate))

    return System(
        generator=LanguageModel(corpus.size, **config.generator),
        discriminator=Discriminator(
            corpus.size,
            **config.discriminator,
            outputs=1 if config.critic else 2,
            dtype=jnp.dtype(config.dtype),
        ),
        length=length,
        ends=corpus.ends,
        roll_outs=config.roll_outs,
        judge=config.judge,
        baseline=config.baseline,
        roll_out_decay=config.roll_out_decay,
        likelihood_optimizer=adam(config.generator_learning_rate),
        policy_optimizer=adam(config.policy_learning_rate),
        discriminator_optimizer=optax.adam(config.discriminator_learning_rate),
        penalty=config.penalty,
        gradient_penalty=config.gradient_penalty,
        mesh=mesh,
    )


def make(config: ConfigDict, mesh: Mesh) -> SeqGAN:
    """The recipe of a config, its data read; an oracle's bounds are printed.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    check(config, mesh)
    recipe = SeqGAN(config, mesh, open_corpus(config, mesh))
    tell_bounds(recipe.validation.bounds)
    return recipe


def tell_bounds(bounds: Mapping[str, float]) -> None:
    """Prints what a generator's -log p under the oracle is to be compared with."""
    if bounds and jax.process_index() == 0:
        print(
            f"-log p per token under the oracle: {bounds['oracle']:.3f} of its own samples, "
            f"{bounds['uniform']:.3f} of uniformly random tokens"
        )
