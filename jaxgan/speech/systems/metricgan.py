"""MetricGAN (Fu, Liao, Tsao and Lin, ICML 2019) and MetricGAN+ (Fu et al., Interspeech 2021).

A discriminator D learns to predict a score that has no gradient; a generator G follows D's own.
One round, with its numbers as in the paper's algorithm:

    1. draw N utterances
    2. G enhances them
    3. the score judges what G made (and, for MetricGAN+, the noisy speech)
    4. D learns: clean -> 1, enhanced -> its score, noisy -> its score; a share of what earlier
       generators made, too, so that D does not forget; then the current utterances once more
    5. G learns to make D say `target`

With several scores there is a discriminator for each, and G follows all of them. The two systems
differ in their configs alone. The steps are in `metricgan_steps`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import struct
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.phase import Report, by_step
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import History, Record, RunState
from jaxgan.core.timer import Timer
from jaxgan.scores.registry import score_names
from jaxgan.scores.scorer import Collect
from jaxgan.speech import training
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.data.checks import FEWEST_FRAMES
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.replay import ReplayBatch, make_record, replay_batches
from jaxgan.speech.data.targets import read_targets
from jaxgan.speech.evaluation.noisy_scores import NoisyScores
from jaxgan.speech.systems.metricgan_steps import (
    Lesson,
    discriminator_step,
    generator_step,
    init,
    make_system,
    warmup_step,
)
from jaxgan.speech.training import Rows, Training


@struct.dataclass
class Log:
    """What a round's phases reported, left on the devices until the round ends."""

    generator: list[Report] = dataclasses.field(default_factory=list)
    first: list[Report] = dataclasses.field(default_factory=list)
    replay: list[Report] = dataclasses.field(default_factory=list)
    again: list[Report] = dataclasses.field(default_factory=list)


class Asked(NamedTuple):
    """Scores of a round's batches that are on their way."""

    enhanced: list[Collect]
    noisy: list[Collect]


class MetricGAN:
    """The recipe: what `jaxgan.core.loop` drives.

    Args:
        config: see configs/metricgan.py.
        training: data, score and devices.
    """

    def __init__(self, config: ConfigDict, training: Training) -> None:
        self.config = config
        self.training = training
        self.keeps = training.keeps
        self.mesh = training.mesh
        self.corpus = training.corpus
        self.names = score_names(config.score)
        teaches = {"clean": config.clean_teaches, "enhanced": True, "noisy": config.noisy_teaches}
        self.kinds = [kind for kind in teaches if teaches[kind]]
        self.enhanced = self.kinds.index("enhanced")
        fixed = isinstance(training.corpus, PairCorpus)
        self.noisy_scores = [
            NoisyScores(scorer, self.mesh, training.fetch, fixed) for scorer in training.scorers
        ]
        self.compile()

    def compile(self) -> None:
        """Binds what is fixed to the steps; each compiles once for every length of batches."""
        bind, training = functools.partial, self.training
        system = make_system(self.config)
        if path := self.config.targets:
            targets = read_targets(path, self.corpus.names, self.config.target)
            system = dataclasses.replace(system, target=targets)
        # A run of another recipe has a generator to begin with, and no discriminator of scores.
        self.begin_anew = system.discriminators
        self.init = training.begin(bind(init, system=system))
        self.warm_up = training.phase(bind(warmup_step, system=system))
        self.teach_generator = training.phase(bind(generator_step, system=system))
        self.teach_discriminator = training.phase(bind(discriminator_step, system=system))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        config, log = self.config, Log()
        warming = number <= config.warmup_rounds
        generator_first = config.order == "generator_first"
        with timer.part("data"):
            batches, rows = self.training.draw(number)

        # In its first round D has nothing to teach yet.
        if warming or (generator_first and number > 1):
            state = self.generator_pass(state, batches, warming, timer, log)

        with timer.part("enhance"):
            enhanced = [self.training.enhance(state, batch) for batch in batches]
            jax.block_until_ready(enhanced)
        with timer.part("score"):
            asked = self.ask(batches, enhanced, rows)
        if config.scoring.delay:
            state = self.replay_pass(state, history, number, timer, log)
        with timer.part("score"):
            labels = self.labels(asked, rows)
            require_scores([kinds[:, self.enhanced] for kinds in labels], history, config.score)
            lessons = self.lessons(batches, enhanced, labels)
        state = self.discriminator_pass(state, lessons, timer, log.first)
        if not config.scoring.delay:
            state = self.replay_pass(state, history, number, timer, log)
        state = self.discriminator_pass(state, lessons, timer, log.again)

        if not (warming or generator_first):
            state = self.generator_pass(state, batches, warming, timer, log)
        with timer.part("record"):
            record = self.record(enhanced, labels, rows)
            metrics = self.summary(log, labels, rows)
        return state, record, metrics

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation set."""
        return self.training.evaluate(state, number)

    def close(self) -> None:
        """Ends threads and worker processes."""
        self.training.close()

    def generator_pass(
        self, state: RunState, batches: Sequence[Batch], warming: bool, timer: Timer, log: Log
    ) -> RunState:
        """G learns from every batch once."""
        phase = self.warm_up if warming else self.teach_generator
        with timer.part("warmup" if warming else "generator"):
            state, log.generator[:] = phase(state, batches)
            jax.block_until_ready(state.step)
        return state

    def ask(
        self, batches: Sequence[Batch], enhanced: Sequence[jax.Array], rows: Sequence[Rows]
    ) -> list[Asked]:
        """Asks for each score of the enhanced and, where it teaches, of the noisy."""
        index = [row.utterance for row in rows]
        return [
            Asked(
                [
                    scorer(batch.clean, made, batch.lengths)
                    for batch, made in zip(batches, enhanced, strict=True)
                ],
                noisy.request(batches, index) if self.config.noisy_teaches else [],
            )
            for scorer, noisy in zip(self.training.scorers, self.noisy_scores, strict=True)
        ]

    def labels(self, asked: Sequence[Asked], rows: Sequence[Rows]) -> list[np.ndarray]:
        """Waits for the scores.

        Returns:
            float32 [B, K, S] of every batch: `kinds` of candidates by each score.
        """
        index = [row.utterance for row in rows]
        by_score = []
        for score, noisy, found in zip(self.training.scores, self.noisy_scores, asked, strict=True):
            raw = self.training.fetch([collect() for collect in found.enhanced])
            labels = {
                "clean": [np.where(row.lengths > 0, 1.0, np.nan) for row in rows],
                "enhanced": [score.normalise(values) for values in raw],
            }
            if self.config.noisy_teaches:
                known = noisy.collect(found.noisy, index)
                labels["noisy"] = [score.normalise(values) for values in known]
            kinds = [labels[kind] for kind in self.kinds]
            by_score.append([np.stack(batch, axis=1) for batch in zip(*kinds, strict=True)])
        return [np.stack(batch, axis=2).astype(np.float32) for batch in zip(*by_score, strict=True)]

    def lessons(
        self, batches: Sequence[Batch], enhanced: Sequence[jax.Array], labels: Sequence[np.ndarray]
    ) -> list[Lesson]:
        """Candidates of every kind beside their labels [B, K, S]."""
        lessons = []
        for batch, made, label in zip(batches, enhanced, labels, strict=True):
            waves = {"clean": batch.clean, "enhanced": made, "noisy": batch.noisy}
            candidates = [waves[kind] for kind in self.kinds]
            placed = devices.put_sharded(label, self.mesh)
            lessons.append(Lesson(batch.clean, candidates, placed, batch.lengths))
        return lessons

    def discriminator_pass(
        self, state: RunState, lessons: Iterable[Lesson], timer: Timer, log: list[Report]
    ) -> RunState:
        """D learns from every lesson once."""
        with timer.part("discriminator"):
            state, log[:] = self.teach_discriminator(state, lessons)
            jax.block_until_ready(state.step)
        return state

    def replay_pass(
        self, state: RunState, history: History, number: int, timer: Timer, log: Log
    ) -> RunState:
        """D learns again from a share of what all earlier generators made."""
        config = self.config
        items = replay_batches(
            history,
            self.corpus,
            config.replay.share,
            config.replay.most,
            config.batch_size,
            config.seed,
            number,
        )
        with timer.part("replay"):
            state, log.replay[:] = self.teach_discriminator(state, map(self.old_lesson, items))
            jax.block_until_ready(state.step)
        return state

    def old_lesson(self, item: ReplayBatch) -> Lesson:
        """What D learns from a batch that is replayed."""
        best = np.where(np.isfinite(item.labels), np.float32(1), np.float32(np.nan))
        columns = [best, item.labels] if self.config.replay.clean else [item.labels]
        labels = np.stack(columns, axis=1)
        host = (item.clean, item.enhanced, labels, item.lengths)
        clean, made, labels, lengths = devices.put_sharded(host, self.mesh)
        return Lesson(clean, [clean, made] if self.config.replay.clean else [made], labels, lengths)

    def record(
        self, enhanced: Sequence[jax.Array], labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> Record:
        """What later rounds replay of this one."""
        if not self.config.replay.share:
            return {}
        made = [row for batch in self.training.fetch(list(enhanced)) for row in batch]
        index, gain, lengths = (np.concatenate(field) for field in zip(*rows, strict=True))
        label = np.concatenate([kinds[:, self.enhanced] for kinds in labels])
        return make_record(index, gain, lengths, made, label)

    def summary(
        self, log: Log, labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> dict[str, float]:
        """The round's metrics. What was undefined in this round is left out."""
        first, again, replay, generator = (
            by_step(phase)
            for phase in self.training.fetch((log.first, log.again, log.replay, log.generator))
        )
        losses = {
            "g_loss": [step["loss"] for step in generator],
            "d_loss": [step["loss"] for step in (*first, *again)],
            "d_loss_replay": [step["loss"] for step in replay],
        }
        metrics = {name: float(np.mean(values)) for name, values in losses.items() if values}
        label = np.concatenate(labels)[:, self.enhanced]
        prediction = np.concatenate([step["prediction"] for step in first])[:, self.enhanced]
        lengths = np.concatenate([row.lengths for row in rows])
        metrics["unscorable"] = 0.0
        for number, name in enumerate(self.names):
            behind = f"_{name}" if len(self.names) > 1 else ""
            found = agreement(label[:, number], prediction[:, number])
            metrics |= {f"{key}{behind}": value for key, value in found.items()}
            missing = (lengths > 0) & ~np.isfinite(label[:, number])
            metrics["unscorable"] += float(np.count_nonzero(missing))
        metrics["replayed"] = float(len(replay) * self.config.batch_size)
        return metrics | {"throughput/audio_seconds": self.training.seconds(rows)}


def agreement(label: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """How well D predicts a score: [n] each, NaN labels left out. What is undefined is left out."""
    known = np.isfinite(label)
    label, prediction = label[known], prediction[known]
    if not len(label):
        return {}
    found = {"label": float(label.mean()), "d_mae": float(np.abs(prediction - label).mean())}
    if len(label) > 1 and np.std(label) > 0 and np.std(prediction) > 0:
        found["d_correlation"] = float(np.corrcoef(label, prediction)[0, 1])
    return found


def require_scores(labels: Sequence[np.ndarray], history: History, score: str) -> None:
    """Raises UserError if nothing has had a score so far: not bad utterances, but a bad score."""
    if np.isfinite(np.concatenate(labels)).any():
        return
    if not any(len(record.get("labels", ())) for record in history):
        raise UserError(
            f"config.score={score}: not one enhanced utterance has a score, so there is nothing to "
            "learn; the warnings above say why, or try the score on a file with jaxgan.scores.get"
        )


def check_discriminator(config: ConfigDict) -> None:
    """Raises UserError for sizes, `config.discriminator`, that make no discriminator."""
    channels, kernels, dense = config.channels, config.kernels, config.dense
    if len(channels) != len(kernels) or not channels:
        raise UserError(
            f"config.discriminator.channels={channels} and config.discriminator.kernels={kernels}: "
            "give one of each for every convolution"
        )
    for name, sizes in (("channels", channels), ("kernels", kernels), ("dense", dense)):
        if min(sizes, default=1) < 1:
            raise UserError(f"config.discriminator.{name}={sizes}: must be 1 or more")
    frames = sum(kernels) - len(kernels) + 1
    if frames > FEWEST_FRAMES:
        raise UserError(
            f"config.discriminator.kernels={kernels} need {frames} frames, and utterances of "
            f"{FEWEST_FRAMES} are in the data: choose smaller ones"
        )


def check_scores(names: Sequence[str], weights: Sequence[float]) -> None:
    """Raises UserError for scores that do not go together."""
    if len(set(names)) < len(names):
        raise UserError(f"config.score={','.join(names)}: name each score once")
    if weights and (len(weights) != len(names) or min(weights) < 0):
        raise UserError(
            f"config.score_weights={tuple(weights)}: give one of 0 or more for each of "
            f"{len(names)} scores, or none"
        )


CHOICES = training.CHOICES | {"order": ("generator_first", "discriminator_first")}
RANGES = training.RANGES | {
    "discriminator_learning_rate": (0, math.inf),
    "warmup_learning_rate": (0, math.inf),
    "warmup_rounds": (0, math.inf),
    "learning_rate_decay": (0, math.inf),
    "average_decay": (0, 0.99999),
    "replay.share": (0, 1),
    "replay.most": (0, math.inf),
}


def make(config: ConfigDict, mesh: Mesh) -> MetricGAN:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config, CHOICES, RANGES)
    check_discriminator(config.discriminator)
    check_scores(score_names(config.score), config.score_weights)
    return training.assemble(config, mesh, MetricGAN)
