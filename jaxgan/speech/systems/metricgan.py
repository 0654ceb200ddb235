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
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.compiling import init_on_host
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.metrics import of_round
from jaxgan.core.state import (
    History,
    LossResult,
    Metrics,
    Player,
    Players,
    PyTree,
    Record,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.core.steps import StepMetrics, Steps, by_step, take_outputs
from jaxgan.core.timer import Timer
from jaxgan.methods.adversarial import least_squares
from jaxgan.scores.registry import check_scores, score_names
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch, Rows
from jaxgan.speech.data.targets import read_targets
from jaxgan.speech.evaluation.surrogate import surrogate_metrics
from jaxgan.speech.losses import mask_distance
from jaxgan.speech.networks.masking import (
    Masking,
    as_float,
    init_generator,
    make_denoiser,
    make_masking,
    masked_feature,
    resynthesise,
)
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import (
    MetricDiscriminator,
    check_discriminator,
    init_discriminator,
)
from jaxgan.speech.networks.stft import magnitude, stft
from jaxgan.speech.scored_batches import BatchScorer, ScoredBatch
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, check
from jaxgan.speech.training import Training, enhance_step, open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        masking: the front end and the generator.
        discriminator: the surrogate of a score.
        discriminators: the players that are one, each for a score of its own.
        weights: the weights of each discriminator's prediction in G's loss.
        generator_optimizer: the optimizer of G.
        warmup_optimizer: the optimizer of G in warm-up rounds; it shares the state of
            `generator_optimizer`.
        discriminator_optimizer: the optimizer of every D.
        targets: the score, on D's scale, that G asks each D for: float32 [n], one for every
            utterance of the corpus. Below 1 it assigns a worse one.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
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
    targets: np.ndarray
    average_decay: float
    through_waveform: bool


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    bins = system.masking.front_end.bins
    generator = init_generator(system.masking, generator_key)
    averaged = system.average_decay > 0
    players = {"generator": make_player(generator, system.generator_optimizer, averaged)}
    for number, name in enumerate(system.discriminators):
        own_key = jax.random.fold_in(discriminator_key, number)
        discriminator = init_discriminator(system.discriminator, bins, own_key)
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


def discriminator_step(run_state: RunState, scored: ScoredBatch, *, system: System) -> StepResult:
    """Moves each D once: the sum over kinds of the mean of (D(candidate, clean) - label)^2.

    With the kinds clean (label 1) and enhanced (label Q') this is the paper's loss of D; MetricGAN+
    adds the kind noisy.

    Returns:
        The state, and from before the update `d_loss` [], the sum over all D, and `prediction`
        [B, K, S].
    """
    clean, candidates, labels, lengths = scored
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
    scorer: BatchScorer,
) -> StepResult:
    """Lets G enhance a batch, the score judge it, and each D move once.

    Args:
        run_state: the state.
        inputs: the batch, and the known labels of its noisy speech; see `BatchScorer.known`.
        system: what is fixed.
        scorer: scores the batch.

    Returns:
        As `discriminator_step`, and `enhanced` int16 [B, T], `labels` float32 [B, K, S], and `raw`
        float32 [B, S], the raw scores of the enhanced speech.
    """
    batch, known = inputs
    params = run_state.players["generator"].params
    enhanced = enhance_step(params, batch, denoiser=scorer.denoiser)
    labels, raw = scorer.in_step(batch, enhanced, known)
    scored = scorer.make(batch, enhanced, labels)
    run_state, metrics = discriminator_step(run_state, scored, system=system)
    return run_state, {**metrics, "enhanced": enhanced, "labels": labels, "raw": raw}


def generator_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
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
    targets = jnp.asarray(system.targets)[batch.index]

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        feature = masked_feature(masking, params, noisy_feature, batch.lengths, key)
        if system.through_waveform:
            feature = masking.feature_of(resynthesise(masking, feature, spectrum, batch.lengths))
        value = jnp.zeros(())
        for name, weight in zip(system.discriminators, system.weights, strict=True):
            prediction, _ = predict(system, players[name], feature, clean_feature, batch.lengths)
            value += weight * least_squares(prediction, targets, batch.lengths > 0)
        return value, ({}, {"g_loss": value})

    moving = {"generator": system.generator_optimizer}
    return descend(run_state, moving, loss, system.average_decay)


def warmup_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
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
        self.phase_starts = (config.warmup_rounds + 1,)
        self.files, self.reports = training.files, training.reports
        self.evaluate, self.close = training.evaluate, training.close
        system = make_system(config, training.corpus.names)
        # A run of another recipe has a generator to start from, but no such discriminator.
        self.optional_players = system.discriminators
        self.fresh_players = unfit_discriminators(config, system.discriminators)
        self.scorer = BatchScorer(config, training)

        mesh, moving, bind = training.mesh, system.discriminators, functools.partial
        whole = devices.replicated(mesh)
        rows = NamedSharding(mesh, jax.P(None, devices.DATA))
        outputs = {"d_loss": whole, "prediction": rows}
        first_outputs = {**outputs, "enhanced": rows, "labels": rows, "raw": rows}
        self.init = init_on_host(bind(init, system=system), mesh)
        self.warmup_steps = Steps(bind(warmup_step, system=system), mesh, ("generator",))
        self.generator_steps = Steps(bind(generator_step, system=system), mesh, ("generator",))
        first = bind(first_step, system=system, scorer=self.scorer)
        self.first_steps = Steps(first, mesh, moving, out_shardings=(whole, first_outputs))
        learn = bind(discriminator_step, system=system)
        self.discriminator_steps = Steps(learn, mesh, moving, out_shardings=(whole, outputs))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains one round of the algorithm at the top of this file."""
        warming = number <= self.config.warmup_rounds
        generator_first = self.config.order == "generator_first"
        steps = self.warmup_steps if warming else self.generator_steps
        move = functools.partial(steps.timed, timer, "warmup" if warming else "generator")
        # In its first round D has nothing to teach yet.
        begins, ends = warming or (generator_first and number > 1), not (warming or generator_first)
        generator: list[StepMetrics] = []
        with timer.part("data"):
            batches, rows = self.training.draw(number)
            inputs = self.scorer.with_known_labels(batches, rows)
            replayed = self.scorer.replayed(history, number)
            if begins:
                steps.prepare(state, batches)
            if not self.config.scoring.delay:
                self.first_steps.prepare(state, inputs)
            self.discriminator_steps.prepare(state, self.scorer.like(batches, bool(history)))
            if ends:
                steps.prepare(state, batches)
        if begins:
            state, generator = move(state, batches)
        learn = functools.partial(self.discriminator_steps.timed, timer)
        if self.config.scoring.delay:
            with timer.part("enhance"):
                wait = self.scorer.submit(state, batches, rows)
            state, replay = learn("replay", state, replayed)
            with timer.part("score"):
                scored, raw = wait()
            state, first = learn("discriminator", state, scored)
        else:
            with timer.part("discriminator"):
                state, first, scored, raw = self.first_pass(state, inputs)
            state, replay = learn("replay", state, replayed)
        labels = self.training.fetch([batch.labels for batch in scored])
        self.scorer.require_scores(labels, history)
        self.scorer.remember(rows, labels)
        state, again = learn("discriminator", state, scored)
        if ends:
            state, generator = move(state, batches)
        with timer.part("record"):
            record = self.scorer.record(scored, labels, rows)
            found = self.metrics((first, again, replay, generator), labels, raw, rows)
        return state, record, found

    def first_pass(
        self, state: RunState, inputs: Sequence[tuple[Batch, tuple[jax.Array, jax.Array]]]
    ) -> tuple[RunState, list[StepMetrics], list[ScoredBatch], list[np.ndarray]]:
        """Makes `first_step` for every batch.

        Returns:
            The state; the metrics of D's steps; what D learned; and the raw scores of the enhanced
            speech, float32 [B, S] of each batch.
        """
        state, reports = self.first_steps(state, inputs)
        made = take_outputs(reports, "enhanced", "labels")
        pairs = zip(inputs, made, strict=True)
        scored = [self.scorer.make(batch, *of) for (batch, _), of in pairs]
        raw = [step["raw"] for step in by_step(self.training.fetch(reports))]
        return state, reports, scored, raw

    def metrics(
        self,
        reports: tuple[list[StepMetrics], ...],
        labels: Sequence[np.ndarray],
        raw: Sequence[np.ndarray],
        rows: Sequence[Rows],
    ) -> dict[str, float]:
        """Returns the round's metrics, without those that are undefined in this round."""
        first, again, replay, generator = map(by_step, self.training.fetch(reports))
        predictions = [step["prediction"] for step in first]
        return {
            **of_round(generator),
            **of_round([{"d_loss": step["d_loss"]} for step in (*first, *again)]),
            **of_round([{"d_loss_replay": step["d_loss"]} for step in replay]),
            **surrogate_metrics(
                self.training.scores.names,
                self.scorer.of_enhanced(labels),
                self.scorer.of_enhanced(predictions),
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
    return System(
        masking=make_masking(config),
        discriminator=MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype)),
        discriminators=tuple(discriminators),
        weights=tuple(config.score_weights) or (1.0,) * len(scores),
        generator_optimizer=adam(config, config.generator_learning_rate),
        warmup_optimizer=adam(config, config.warmup_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        targets=read_targets(config.targets, utterances, config.target),
        average_decay=config.average_decay,
        through_waveform=config.through_waveform,
    )


def unfit_discriminators(config: ConfigDict, discriminators: Sequence[str]) -> tuple[str, ...]:
    """Returns the discriminators whose namesakes in `config.init_from` learned another score.

    Such a discriminator can have the same shapes. A message names both scores.
    """
    if not config.init_from:
        return ()
    other = configs.read(absolute(config.init_from))
    theirs, ours = ((c.get("score"), c.get("score_map")) for c in (other, config))
    if theirs == ours:
        return ()
    if jax.process_index() == 0:
        print(
            f"{config.init_from}: its discriminator has learned {theirs[0]!r} ({theirs[1]}), not "
            f"{ours[0]!r} ({ours[1]}), so the one of this run starts from random parameters"
        )
    return tuple(discriminators)


def make(config: ConfigDict, mesh: Mesh) -> MetricGAN:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    choices = MASK_CHOICES | {"order": ("generator_first", "discriminator_first")}
    rates = ("discriminator_learning_rate", "warmup_learning_rate", "warmup_rounds", "replay.most")
    ranges = dict.fromkeys(rates, (0, math.inf)) | {"replay.share": (0, 1)}
    check(config, choices, MASK_RANGES | ranges)
    check_discriminator(config.discriminator)
    check_scores(score_names(config.score), config.score_weights)
    with open_training(config, make_denoiser(config), mesh) as training:
        if training.augments:
            raise UserError(
                "config.data: metricgan replays utterances with the clean speech of the corpus, so "
                "it cannot augment them; set reverb_share=0, band_share=0 and gains=(0,0)"
            )
        return MetricGAN(config, training)


DECLARATION = declare(make, make_denoiser)
