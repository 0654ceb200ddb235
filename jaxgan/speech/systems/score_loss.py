"""Training on a score that can be differentiated: the white-box rival of MetricGAN.

One round:

    1. draw N utterances
    2. G enhances them, and learns to raise the score itself: no discriminator

The score's JAX function must pass gradients (docs/scores.md lists those that do). What it does not
measure is not learned: PESQ as a loss leaves sounds that PESQ does not hear.
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
from jaxgan.scores.score import Score
from jaxgan.scores.scorer import Twin, sharded_twin
from jaxgan.speech import training
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import Masking, as_float, enhance, make_masking
from jaxgan.speech.training import Training


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run.

    Attributes:
        masking: front end and generator.
        score: maps raw scores to [0, 1].
        twin: computes them on the devices.
        optimizer: of G.
    """

    masking: Masking
    score: Score
    twin: Twin
    optimizer: optax.GradientTransformation


def init(key: jax.Array, *, system: System) -> RunState:
    """G before its first update."""
    generator_key, run_key = jax.random.split(key)
    feature = jnp.zeros((1, 1, system.masking.front_end.bins))
    variables = system.masking.generator.init(generator_key, feature, jnp.ones((1,), jnp.int32))
    return begin(run_key, {"generator": make_player(variables, system.optimizer)})


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: the mean of 1 - score(G(noisy), clean), over utterances that have a score.

    Returns:
        The state, and `loss` [] and `score` [B], normalised, NaN where there is none.
    """
    clean, noisy = as_float(batch.clean), as_float(batch.noisy)
    key = jax.random.fold_in(run_state.key, run_state.step)

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        enhanced = enhance(system.masking, params, noisy, batch.lengths, key)
        raw = system.twin(clean, enhanced, batch.lengths)
        known = jnp.isfinite(raw)
        score = system.score.normalise(jnp.where(known, raw, system.score.lowest))
        value = masked_mean(1 - score, known)
        return value, (state, {"loss": value, "score": jnp.where(known, score, jnp.nan)})

    return descend(run_state, "generator", loss, system.optimizer)


class ScoreLoss:
    """The recipe.

    Args:
        config: see configs/pesq_loss.py.
        training: data, score and devices.
    """

    def __init__(self, config: ConfigDict, training: Training) -> None:
        self.config = config
        self.training = training
        self.keeps = training.keeps
        system = System(
            masking=make_masking(config),
            score=training.scores[0],
            twin=sharded_twin(config.score, training.mesh),
            optimizer=optax.chain(
                optax.clip_by_global_norm(config.gradient_clip),
                optax.adam(config.generator_learning_rate, b1=config.adam_b1, b2=config.adam_b2),
            ),
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
            steps = by_step(self.training.fetch(log))
        scores = [step["score"] for step in steps]
        training.require_scores(scores, number, self.config.score)
        score = np.concatenate(scores)
        lengths = np.concatenate([row.lengths for row in rows])
        return (
            state,
            {},
            {
                "g_loss": float(np.mean([step["loss"] for step in steps])),
                "score": float(np.nanmean(score)),
                "unscorable": float(np.count_nonzero((lengths > 0) & ~np.isfinite(score))),
                "throughput/audio_seconds": self.training.seconds(rows),
            },
        )

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation set."""
        return self.training.evaluate(state, number)

    def close(self) -> None:
        """Ends threads and worker processes."""
        self.training.close()


def make(config: ConfigDict, mesh: Mesh) -> ScoreLoss:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config)
    return training.assemble(config, mesh, ScoreLoss)
