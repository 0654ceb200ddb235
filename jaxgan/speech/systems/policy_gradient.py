"""Policy gradient on a score without gradient: the third baseline of MetricGAN's paper.

Koizumi et al. 2018, "PE policy grad" there. One round:

    1. draw N utterances
    2. for every batch:
        draw K masks for each utterance from a normal distribution, whose mean G gives
        enhance with each, and have each result scored
        learn: masks that scored better than the utterance's others become likelier

It begins with a mask that is already good: `config.init_from` names a run of mask_regression.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Timer
from jaxgan.scores.registry import score_names
from jaxgan.speech import training
from jaxgan.speech.networks import optimizers
from jaxgan.speech.networks.masking import make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.systems.policy_gradient_steps import (
    MaskDeviation,
    System,
    init,
    policy_step,
    sample_step,
)
from jaxgan.speech.training import Training


class PolicyGradient:
    """The recipe.

    Args:
        config: see configs/policy_gradient.py.
        training: data, score and devices.
    """

    begin_anew = ("deviation",)

    def __init__(self, config: ConfigDict, training: Training) -> None:
        self.config = config
        self.training = training
        self.keeps = training.keeps
        system = System(
            masking=make_masking(config),
            deviation=MaskDeviation(config.deviation),
            samples=config.samples,
            generator_optimizer=adam(config, config.generator_learning_rate),
            deviation_optimizer=adam(config, config.deviation_learning_rate),
            average_decay=config.average_decay,
        )
        self.init = training.begin(functools.partial(init, system=system))
        self.sample_step = training.look(functools.partial(sample_step, system=system))
        self.policy_step = training.move(functools.partial(policy_step, system=system))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        with timer.part("data"):
            batches, rows = self.training.draw(number)
        log, raw = [], []
        for batch in batches:
            with timer.part("score"):
                samples = self.sample_step(state, batch)
                values = self.training.fetch(self.training.scorers[0](*samples)())
                raw.append(values)
                scores = np.asarray(self.training.scores[0].normalise(values), np.float32)
                placed = devices.put_sharded(scores, self.training.mesh)
            with timer.part("policy"):
                state, metrics = self.policy_step(state, batch, placed)
                log.append(metrics)
        log = self.training.fetch(log)
        training.require_scores(raw, number, self.config.score)
        asked = self.config.samples * sum(np.count_nonzero(row.lengths) for row in rows)
        means = {name: float(np.mean([m[name] for m in log])) for name in log[0]}
        unscorable = float(asked - np.count_nonzero(np.isfinite(np.concatenate(raw))))
        seconds = self.training.seconds(rows)
        return (
            state,
            {},
            means | {"unscorable": unscorable, "throughput/audio_seconds": seconds},
        )

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation set, with the mean of the masks."""
        return self.training.evaluate(state, number)

    def close(self) -> None:
        """Ends threads and worker processes."""
        self.training.close()


RANGES = (
    training.RANGES
    | optimizers.RANGES
    | {
        "samples": (2, math.inf),
        "deviation": (1e-6, 1),
        "deviation_learning_rate": (0, math.inf),
    }
)


def make(config: ConfigDict, mesh: Mesh) -> PolicyGradient:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config, ranges=RANGES)
    if len(score_names(config.score)) > 1:
        raise UserError(f"config.score={config.score}: give one, masks are ranked by one score")
    if not config.init_from and jax.process_index() == 0:
        print(
            "config.init_from is empty: masks begin at random, which this recipe hardly improves; "
            "give a run of configs/mask_regression.py"
        )
    return training.assemble(config, mesh, PolicyGradient)
