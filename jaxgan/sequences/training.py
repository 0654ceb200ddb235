"""Networks of a config and passes over data, which every system of sequences needs."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices, metrics
from jaxgan.core.compiling import init_on_host
from jaxgan.core.errors import UserError
from jaxgan.core.state import RunState, make_player, make_run_state
from jaxgan.core.steps import Step, StepMetrics, Steps, by_step
from jaxgan.core.timer import Timer
from jaxgan.sequences.data.corpora import Corpus
from jaxgan.sequences.networks import roll_outs
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.language_model import LanguageModel, SequenceModel

MOST_BATCHES = 128
"""The most batches in one compiled program: the rows of a program's batches are its arguments."""


def make_generator(config: ConfigDict, corpus: Corpus) -> SequenceModel:
    """Returns the language model of a config, for the corpus's tokens."""
    network = LanguageModel(corpus.size, **config.generator)
    return SequenceModel(network, corpus.length, corpus.ends)


def make_discriminator(config: ConfigDict, corpus: Corpus) -> Discriminator:
    """Returns the discriminator of a config, for the corpus's tokens.

    Raises:
        UserError: a convolution is wider than the sequences.
    """
    sizes = config.discriminator
    if max(sizes.widths) > corpus.length or corpus.length < 2:
        raise UserError(
            f"config.discriminator.widths={sizes.widths}: the sequences have {corpus.length} "
            "tokens (including the one that ends a line of text); choose none wider"
        )
    outputs = 1 if config.critic else 2
    return Discriminator(corpus.size, **sizes, outputs=outputs, dtype=jnp.dtype(config.dtype))


def clipped_adam(learning_rate: float, clip: float) -> optax.GradientTransformation:
    """Returns Adam after clipping the gradient's global norm; a `clip` of 0 does not clip."""
    return optax.chain(optax.clip_by_global_norm(clip or math.inf), optax.adam(learning_rate))


def initial_state(
    key: jax.Array,
    generator: SequenceModel,
    discriminator: Discriminator,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
) -> RunState:
    """Returns the state before the first update; the roll-out policy is a copy of G."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    tokens = jnp.zeros((1, generator.length), jnp.int32)
    players = {
        "generator": make_player(
            generator.network.init(generator_key, tokens), generator_optimizer
        ),
        "discriminator": make_player(
            discriminator.init(discriminator_key, tokens), discriminator_optimizer
        ),
    }
    return make_run_state(run_key, players, roll_outs.roll_out_memory(players["generator"]))


def select(rows: jax.Array, real: jax.Array, generated: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the sequences of a batch of D, int32 [B, T], and which of them are real, bool [B].

    Args:
        rows: int32 [B]; rows from N on are of `generated`.
        real: int32 [N, T].
        generated: int32 [M, T].
    """
    is_real = rows < len(real)
    of_real = real[jnp.where(is_real, rows, 0)]
    of_generated = generated[jnp.where(is_real, 0, rows - len(real))]
    return jnp.where(is_real[:, None], of_real, of_generated), is_real


class Training:
    """Passes over the data of a run: an epoch of G by likelihood, and the training of D.

    Args:
        config: the config of the run.
        mesh: the devices.
        corpus: the data.
        init: (key) -> the state before the first update.
        likelihood_step: (state, rows int32 [B], data int32 [N, T], truth float32 []) -> (state,
            metrics); moves G.
        discriminator_step: (state, rows int32 [B], real int32 [N, T], generated int32 [M, T]) ->
            (state, metrics); moves D; see `select`.
        policy_step: (state, (sequences int32 [B, T], rewards float32 [B, T])) -> (state, metrics);
            moves G.
        generate: (state, rows int32 [M]) -> int32 [M, T], what G draws.
        policy_optimizer: the optimizer of G in the adversarial rounds.

    Attributes:
        mesh: the devices.
        rows: int32 [B], the rows of one batch that G draws.
        init: as given, compiled, like all of the following.
        generate: as given.
        likelihood_steps: `likelihood_step`.
        discriminator_steps: `discriminator_step`.
        policy_steps: `policy_step`.
        start_adversarial: `roll_outs.start_adversarial`.
        follow: `roll_outs.follow`.
    """

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        corpus: Corpus,
        *,
        init: Callable[[jax.Array], RunState],
        likelihood_step: Step,
        discriminator_step: Step,
        policy_step: Step,
        generate: Callable[[RunState, jax.Array], jax.Array],
        policy_optimizer: optax.GradientTransformation,
    ) -> None:
        self.mesh = mesh
        self.rows = devices.put_sharded(np.arange(config.batch_size, dtype=np.int32), mesh)
        self._config = config
        self._count = len(corpus.train)
        self._length = corpus.length
        self._data = devices.put_replicated(corpus.train, mesh)
        self._half = self._count // config.batch_size * config.batch_size
        if config.discriminator_batches:
            self._half = min(self._half, config.discriminator_batches * config.batch_size // 2)
        steps = functools.partial(Steps, mesh=mesh)
        self.likelihood_steps = steps(
            likelihood_step,
            moves=("generator",),
            batches=_per_program(self._count // config.batch_size),
        )
        self.discriminator_steps = steps(
            discriminator_step,
            moves=("discriminator",),
            batches=_per_program(2 * self._half // config.batch_size),
        )
        self.policy_steps = steps(policy_step, moves=("generator",), batches=1)
        whole = devices.replicated(mesh)
        self.init = init_on_host(init, mesh)
        self.generate = jax.jit(generate, out_shardings=whole)
        change = functools.partial(jax.jit, donate_argnums=0, out_shardings=whole)
        self.start_adversarial = change(
            functools.partial(roll_outs.start_adversarial, optimizer=policy_optimizer)
        )
        self.follow = change(functools.partial(roll_outs.follow, decay=config.roll_out_decay))

    def likelihood_epoch(
        self, state: RunState, number: int, timer: Timer
    ) -> tuple[RunState, dict[str, float]]:
        """Shows G all of the data once, in the random order of round `number`."""
        order = self._random(number, 0).permutation(self._count)
        truth = max(0.0, 1 - self._config.scheduled_sampling * (number - 1))
        placed = devices.put_replicated(np.float32(truth), self.mesh)
        with timer.part("likelihood"):
            batches = self._in_batches(order)
            state, reports = self.likelihood_steps(state, batches, self._data, placed)
            found = average(reports)
        tokens = float(len(batches) * self._config.batch_size * self._length)
        return state, {**found, "truth": truth, "throughput/tokens": tokens}

    def discriminator_pass(
        self, state: RunState, number: int, repetition: int, timer: Timer
    ) -> tuple[RunState, dict[str, float]]:
        """Trains D for `config.epochs` epochs on data and as many sequences that G draws now.

        Args:
            state: donated.
            number: the number of the round.
            repetition: the number of the pass within the round, from 0.
            timer: the timer of the round.

        Returns:
            The state, and the metrics of the last epoch.
        """
        random = self._random(number, 1 + repetition)
        with timer.part("negatives"):
            rows = devices.put_sharded(np.arange(self._half, dtype=np.int32), self.mesh)
            generated = jax.block_until_ready(self.generate(state, rows))
        of_generated = self._count + np.arange(self._half)
        chosen = np.concatenate([random.permutation(self._count)[: self._half], of_generated])
        reports: Sequence[StepMetrics] = ()
        with timer.part("discriminator"):
            for _ in range(self._config.epochs):
                order = random.permutation(chosen)
                state, reports = self.discriminator_epoch(state, order, generated)
            found = average(reports)
        return state, found

    def discriminator_epoch(
        self, state: RunState, order: np.ndarray, generated: jax.Array
    ) -> tuple[RunState, list[StepMetrics]]:
        """Moves D once for each batch of the rows `order`, int [n]; see `select`."""
        batches = self._in_batches(order)
        return self.discriminator_steps(state, batches, self._data, generated)

    def _random(self, number: int, stream: int) -> np.random.Generator:
        """Returns the generator of the host's random draws in a round."""
        return np.random.default_rng((self._config.seed, number, stream))

    def _in_batches(self, rows: np.ndarray) -> list[jax.Array]:
        """Puts whole batches of rows, int32 [B] each, on the devices."""
        size = self._config.batch_size
        batches = rows.astype(np.int32)[: len(rows) // size * size].reshape(-1, size)
        placed: list[jax.Array] = devices.put_sharded(list(batches), self.mesh)
        return placed


def average(reports: Sequence[StepMetrics]) -> dict[str, float]:
    """Waits for the metrics of steps and returns their averages."""
    return metrics.of_round(by_step(jax.device_get(reports)))


def _per_program(batches: int) -> int:
    """Returns how many batches a program has, so that an epoch needs few, equally full programs."""
    programs = max(math.ceil(batches / MOST_BATCHES), 1)
    return max(math.ceil(batches / programs), 1)
