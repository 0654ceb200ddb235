"""MetricGAN (Fu, Liao, Tsao and Lin, ICML 2019) and MetricGAN+ (Fu et al., Interspeech 2021).

A discriminator D learns to predict a score that has no gradient; a generator G follows the gradient
of D instead. One round, numbered as in the paper's algorithm:

    1. draw N utterances
    2. G enhances them
    3. the score judges the enhanced speech (and, for MetricGAN+, the noisy speech)
    4. D learns: clean -> 1, enhanced -> its score, noisy -> its score; then from a share of what
       earlier generators made, so that it does not forget; then from the current utterances again
    5. G learns to make D predict `target`

MetricGAN runs step 5 before step 2, MetricGAN+ last. With several scores there is one discriminator
for each, and G follows all of them. The two systems differ only in their configs.

With `scoring.delay=0`, steps 2, 3 and the first pass of 4 are one compiled program, and D's targets
come straight from the score's host callback (or from its JAX function). With `delay=1` the host
scores while D learns from earlier rounds, which then comes first.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.state import (
    History,
    LossResult,
    Metrics,
    Player,
    Players,
    PyTree,
    Record,
    RunState,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.core.steps import StepMetrics, Steps, by_step, unstack
from jaxgan.core.timer import Timer
from jaxgan.methods.adversarial import least_squares
from jaxgan.scores.registry import check_scores, score_names
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch, Rows
from jaxgan.speech.data.replay import ReplayBatch, make_record, replay_batches
from jaxgan.speech.data.targets import read_targets
from jaxgan.speech.evaluation.surrogate import surrogate_metrics
from jaxgan.speech.labels import Labels, Lesson
from jaxgan.speech.losses import mask_distance
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    as_int16,
    enhance,
    make_denoiser,
    make_masking,
    masked_feature,
    resynthesise,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import MetricDiscriminator, check_discriminator
from jaxgan.speech.networks.stft import magnitude, stft
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES
from jaxgan.speech.training import Training, check, open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator.
        discriminator: the surrogate of a score.
        discriminators: the players that are one, each for a score of its own.
        weights: of each discriminator's prediction in G's loss.
        generator_optimizer: of G.
        warmup_optimizer: of G in warm-up rounds; it shares the generator optimizer's state.
        discriminator_optimizer: of every D.
        target: the score, on D's scale, that G asks each D for; below 1 it assigns a worse one. Or
            one for every utterance of the corpus, float32 [n].
        average_decay: of the running average of G's parameters; 0: none is kept.
        through_waveform: D judges the feature of the resynthesised waveform, and G's gradient
            passes through it; otherwise D judges the masked feature itself.
    """

    masking: Masking
    discriminator: MetricDiscriminator
    discriminators: tuple[str, ...]
    weights: tuple[float, ...]
    generator_optimizer: optax.GradientTransformation
    warmup_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    target: float | np.ndarray
    average_decay: float
    through_waveform: bool


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    frames = system.discriminator.least_frames
    feature = jnp.zeros((1, frames, system.masking.front_end.bins))
    count = jnp.full((1,), frames)
    generator = system.masking.generator.init(generator_key, feature, count)
    averaged = system.average_decay > 0
    players = {"generator": make_player(generator, system.generator_optimizer, averaged)}
    for number, name in enumerate(system.discriminators):
        own_key = jax.random.fold_in(discriminator_key, number)
        discriminator = system.discriminator.init(own_key, feature, feature, count)
        players[name] = make_player(discriminator, system.discriminator_optimizer)
    return make_run_state(run_key, players)


def predict(
    system: System, player: Player, candidate: jax.Array, clean: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, PyTree]:
    """Returns a D's prediction for candidate features, float32 [B], and D's state after it."""
    return system.discriminator.apply(
        player.variables,
        candidate,
        clean,
        system.masking.frames(lengths),
        mutable=list(player.state),
    )


def discriminator_step(
    run_state: RunState, lesson: Lesson, *, system: System
) -> tuple[RunState, Metrics]:
    """Moves each D once: the sum over kinds of the mean of (D(candidate, clean) - label)^2.

    With the kinds clean (label 1) and enhanced (label Q') this is the paper's loss of D; MetricGAN+
    adds the kind noisy.

    Returns:
        The state, and from before the update `d_loss` [], the sum over all D, and `prediction`
        [B, K, S].
    """
    clean, candidates, labels, lengths = lesson
    batch, kinds, _ = labels.shape
    waveforms = jnp.stack(candidates, axis=1).reshape(batch * kinds, -1)
    feature = system.masking.feature_of(as_float(waveforms))
    clean_feature = jnp.repeat(system.masking.feature_of(as_float(clean)), kinds, axis=0)
    lengths = jnp.repeat(lengths, kinds)

    def loss(players: Players, name: str, label: jax.Array) -> LossResult:
        prediction, state = predict(system, players[name], feature, clean_feature, lengths)
        prediction = prediction.reshape(batch, kinds)
        value = jnp.sum(jax.vmap(least_squares, in_axes=1)(prediction, label, jnp.isfinite(label)))
        return value, ({name: state}, {"d_loss": value, "prediction": prediction})

    reports: list[Metrics] = []
    for number, name in enumerate(system.discriminators):
        own_loss = functools.partial(loss, name=name, label=labels[..., number])
        run_state, metrics = descend(run_state, {name: system.discriminator_optimizer}, own_loss)
        reports.append(metrics)
    return run_state, {
        "d_loss": jnp.sum(jnp.stack([metrics["d_loss"] for metrics in reports])),
        "prediction": jnp.stack([metrics["prediction"] for metrics in reports], axis=-1),
    }


def first_step(
    run_state: RunState,
    inputs: tuple[Batch, tuple[jax.Array, jax.Array]],
    *,
    system: System,
    labels: Labels,
) -> tuple[RunState, Metrics]:
    """Lets G enhance a batch, the score judge it, and each D move once.

    Args:
        run_state: the state.
        inputs: the batch, and the known labels of its noisy speech; see `Labels.known`.
        system: what is fixed.
        labels: computes the labels.

    Returns:
        As `discriminator_step`, and the `lesson`, and `raw` float32 [B, S], the raw scores of the
        enhanced speech.
    """
    batch, known = inputs
    params = run_state.players["generator"].params
    enhanced = as_int16(enhance(system.masking, params, as_float(batch.noisy), batch.lengths))
    targets, raw = labels.in_step(batch, enhanced, known)
    lesson = labels.lesson(batch, enhanced, targets)
    run_state, metrics = discriminator_step(run_state, lesson, system=system)
    return run_state, {**metrics, "lesson": lesson, "raw": raw}


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """Moves G once: the mean of (D(G(noisy), clean) - target)^2 (the paper's loss of G).

    With several scores it is the weighted sum of their losses. D is a fixed function here: neither
    its parameters nor its state change.

    Returns:
        The state, and `g_loss` [].
    """
    masking = system.masking
    key = step_key(run_state)
    spectrum = stft(as_float(batch.noisy), masking.front_end)
    noisy_feature = masking.compress(magnitude(spectrum))
    clean_feature = masking.feature_of(as_float(batch.clean))
    target = jnp.asarray(system.target, jnp.float32)
    if target.ndim:
        target = target[batch.index]

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        feature = masked_feature(masking, params, noisy_feature, batch.lengths, key)
        if system.through_waveform:
            feature = masking.feature_of(resynthesise(masking, feature, spectrum, batch.lengths))
        value = jnp.zeros(())
        for name, weight in zip(system.discriminators, system.weights, strict=True):
            prediction, _ = predict(system, players[name], feature, clean_feature, batch.lengths)
            value += weight * least_squares(prediction, target, batch.lengths > 0)
        return value, ({}, {"g_loss": value})

    moving = {"generator": system.generator_optimizer}
    return descend(run_state, moving, loss, system.average_decay)


def warmup_step(run_state: RunState, batch: Batch, *, system: System) -> tuple[RunState, Metrics]:
    """Moves G once, supervised: mean |masked feature - clean feature|. In neither paper."""
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        value = mask_distance(system.masking, players["generator"].params, batch, key, "l1")
        return value, ({}, {"g_loss": value})

    moving = {"generator": system.warmup_optimizer}
    return descend(run_state, moving, loss, system.average_decay)


class MetricGAN:
    """The recipe; see `jaxgan.core.recipe.Recipe`.

    Args:
        config: see configs/metricgan.py.
        training: data, scores and devices.
    """

    history_window = None

    def __init__(self, config: ConfigDict, training: Training) -> None:
        self.config, self.training = config, training
        self.files = training.files
        self.evaluate, self.close = training.evaluate, training.close
        system = make_system(config, training.corpus.names)
        # A run of another recipe has a generator to start from, but no discriminator of scores.
        self.optional_players = system.discriminators
        learns = {"clean": config.clean_teaches, "enhanced": True, "noisy": config.noisy_teaches}
        self.labels = Labels([kind for kind, included in learns.items() if included], training)
        self.enhanced = self.labels.kinds.index("enhanced")

        mesh, bind = training.mesh, functools.partial
        whole = devices.replicated(mesh)
        rows = NamedSharding(mesh, jax.P(None, devices.DATA))
        outputs = {"d_loss": whole, "prediction": rows}
        first_outputs = {**outputs, "lesson": rows, "raw": rows}
        self.init = jax.jit(bind(init, system=system), out_shardings=whole)
        self.warmup_steps = Steps(bind(warmup_step, system=system), mesh, ("generator",))
        self.generator_steps = Steps(bind(generator_step, system=system), mesh, ("generator",))
        self.first_steps = Steps(
            bind(first_step, system=system, labels=self.labels),
            mesh,
            system.discriminators,
            out_shardings=(whole, first_outputs),
        )
        self.discriminator_steps = Steps(
            bind(discriminator_step, system=system),
            mesh,
            system.discriminators,
            out_shardings=(whole, outputs),
        )

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains one round of the algorithm at the top of this file."""
        config = self.config
        warming = number <= config.warmup_rounds
        generator_first = config.order == "generator_first"
        generator: list[StepMetrics] = []
        with timer.part("data"):
            batches, rows = self.training.draw(number)

        # In its first round D has nothing to teach yet.
        if warming or (generator_first and number > 1):
            state, generator = self.generator_pass(state, batches, warming, timer)

        if config.scoring.delay:
            collect = self.submit(state, batches, rows, timer)
            state, replay = self.replay_pass(state, history, number, timer)
            lessons, raw = collect()
            state, first = self.discriminator_pass(state, lessons, timer)
        else:
            state, first, lessons, raw = self.first_pass(state, batches, rows, timer)
            state, replay = self.replay_pass(state, history, number, timer)
        labels = self.training.fetch([lesson.labels for lesson in lessons])
        self.labels.require_scores(labels, history)
        self.labels.remember(rows, labels)
        state, again = self.discriminator_pass(state, lessons, timer)

        if not (warming or generator_first):
            state, generator = self.generator_pass(state, batches, warming, timer)
        with timer.part("record"):
            record = self.record(lessons, labels, rows) if config.replay.share else {}
            fetched = self.training.fetch((first, again, replay, generator))
            found = self.metrics(*map(by_step, fetched), labels, raw, rows)
        return state, record, found

    def generator_pass(
        self, state: RunState, batches: Sequence[Batch], warming: bool, timer: Timer
    ) -> tuple[RunState, list[StepMetrics]]:
        """Makes one step of G for every batch."""
        steps = self.warmup_steps if warming else self.generator_steps
        with timer.part("warmup" if warming else "generator"):
            state, reports = steps(state, batches)
            jax.block_until_ready(state.step)
        return state, reports

    def first_pass(
        self, state: RunState, batches: Sequence[Batch], rows: Sequence[Rows], timer: Timer
    ) -> tuple[RunState, list[StepMetrics], list[Lesson], list[np.ndarray]]:
        """Makes `first_step` for every batch.

        Returns:
            The state; the metrics of D's steps; what D learned; and the raw scores of the enhanced
            speech, float32 [B, S] of each batch.
        """
        with timer.part("discriminator"):
            known = devices.put_sharded(list(map(self.labels.known, rows)), self.training.mesh)
            state, reports = self.first_steps(state, zip(batches, known, strict=True))
            lessons = [
                lesson
                for report in reports
                for lesson in unstack(report.metrics.pop("lesson"))[: report.steps]
            ]
            raw = [step["raw"] for step in by_step(self.training.fetch(reports))]
        return state, reports, lessons, raw

    def submit(
        self, state: RunState, batches: Sequence[Batch], rows: Sequence[Rows], timer: Timer
    ) -> Callable[[], tuple[list[Lesson], list[np.ndarray]]]:
        """Enhances the batches and sends them to be scored.

        Returns:
            A function that waits for what D learns from each batch, and for the raw scores of the
            enhanced speech, float32 [B, S].
        """
        with timer.part("enhance"):
            enhanced = [self.training.enhance(state, batch) for batch in batches]
            wait = self.labels.submit(batches, enhanced, rows)

        def collect() -> tuple[list[Lesson], list[np.ndarray]]:
            with timer.part("score"):
                labels, raw = wait()
            return list(map(self.labels.lesson, batches, enhanced, labels)), raw

        return collect

    def discriminator_pass(
        self, state: RunState, lessons: Iterable[Lesson], timer: Timer, part: str = "discriminator"
    ) -> tuple[RunState, list[StepMetrics]]:
        """Makes one step of D for every lesson."""
        with timer.part(part):
            state, reports = self.discriminator_steps(state, lessons)
            jax.block_until_ready(state.step)
        return state, reports

    def replay_pass(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, list[StepMetrics]]:
        """Makes steps of D on a share of what all earlier generators made."""
        config, replay = self.config, self.config.replay
        items = replay_batches(
            history,
            self.training.corpus,
            replay.share,
            replay.most,
            config.batch_size,
            config.seed,
            number,
        )
        return self.discriminator_pass(state, map(self.old_lesson, items), timer, "replay")

    def old_lesson(self, item: ReplayBatch) -> Lesson:
        """Returns what D learns from a replayed batch."""
        best = np.where(np.isfinite(item.labels), np.float32(1), np.float32(np.nan))
        with_clean = self.config.replay.clean
        labels = np.stack([best, item.labels] if with_clean else [item.labels], axis=1)
        host = (item.clean, item.enhanced, labels, item.lengths)
        clean, made, labels, lengths = devices.put_sharded(host, self.training.mesh)
        return Lesson(clean, (clean, made) if with_clean else (made,), labels, lengths)

    def record(
        self, lessons: Sequence[Lesson], labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> Record:
        """Returns what later rounds replay of this one."""
        made = self.training.fetch([lesson.candidates[self.enhanced] for lesson in lessons])
        fields = (np.concatenate(field) for field in zip(*rows, strict=True))
        label = np.concatenate(labels)[:, self.enhanced]
        return make_record(*fields, [row for batch in made for row in batch], label)

    def metrics(
        self,
        first: Sequence[Metrics],
        again: Sequence[Metrics],
        replay: Sequence[Metrics],
        generator: Sequence[Metrics],
        labels: Sequence[np.ndarray],
        raw: Sequence[np.ndarray],
        rows: Sequence[Rows],
    ) -> dict[str, float]:
        """Returns the round's metrics, without those that are undefined in this round."""
        losses = {
            "g_loss": [step["g_loss"] for step in generator],
            "d_loss": [step["d_loss"] for step in (*first, *again)],
            "d_loss_replay": [step["d_loss"] for step in replay],
        }
        found = {name: float(np.mean(values)) for name, values in losses.items() if values}
        return {
            **found,
            **surrogate_metrics(
                self.training.scores.names,
                np.concatenate(labels)[:, self.enhanced],
                np.concatenate([step["prediction"] for step in first])[:, self.enhanced],
                np.concatenate(raw),
                np.concatenate([row.lengths for row in rows]) > 0,
            ),
            "replayed": float(len(replay) * self.config.batch_size),
            "throughput/audio_seconds": self.training.seconds(rows),
        }


def make_system(config: ConfigDict, utterances: Sequence[str]) -> System:
    """Returns the networks and optimizers of a config for a corpus of these utterances."""
    scores = score_names(config.score)
    discriminators = ["discriminator"]
    if len(scores) > 1:
        discriminators = ["discriminator_" + re.sub(r"\W", "_", name) for name in scores]
    target = config.target
    if config.targets:
        target = read_targets(config.targets, utterances, config.target)
    return System(
        masking=make_masking(config),
        discriminator=MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype)),
        discriminators=tuple(discriminators),
        weights=tuple(config.score_weights) or (1.0,) * len(scores),
        generator_optimizer=adam(config, config.generator_learning_rate),
        warmup_optimizer=adam(config, config.warmup_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        target=target,
        average_decay=config.average_decay,
        through_waveform=config.through_waveform,
    )


def make(config: ConfigDict, mesh: Mesh) -> MetricGAN:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    orders = ("generator_first", "discriminator_first")
    rates = ("discriminator_learning_rate", "warmup_learning_rate", "warmup_rounds", "replay.most")
    ranges = dict.fromkeys(rates, (0, math.inf)) | {"replay.share": (0, 1)}
    check(config, MASK_CHOICES | {"order": orders}, MASK_RANGES | ranges)
    check_discriminator(config.discriminator)
    check_scores(score_names(config.score), config.score_weights)
    with open_training(config, make_denoiser(config), mesh) as training:
        return MetricGAN(config, training)


DECLARATION = declare(make, make_denoiser)
