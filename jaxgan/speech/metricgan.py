"""MetricGAN (Fu, Liao, Tsao and Lin, ICML 2019) and MetricGAN+ (Fu et al., Interspeech 2021).

A discriminator D learns to predict a score that has no gradient; a generator G follows D's own.
One round, with its numbers as in the paper's algorithm:

    1. draw N utterances
    2. G enhances them
    3. the score judges what G made (and, for MetricGAN+, the noisy speech)
    4. D learns: clean -> 1, enhanced -> its score, noisy -> its score; a share of what earlier
       generators made, too, so that D does not forget; then the current utterances once more
    5. G learns to make D say `target`

The two systems differ in their configs alone.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import (
    History,
    Metrics,
    Player,
    PyTree,
    Record,
    RunState,
    begin,
    descend,
    make_player,
)
from jaxgan.core.timer import Timer
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.bridge import PendingScores, score_in_step, submit_shards
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.score import with_map
from jaxgan.speech.batching import Batch, Loader
from jaxgan.speech.corpus import PairCorpus, generator
from jaxgan.speech.data import Corpora, open_corpora
from jaxgan.speech.masking import (
    Masking,
    as_float,
    as_int16,
    enhance,
    make_masking,
    masked_feature,
    resynthesise,
)
from jaxgan.speech.networks import MetricDiscriminator
from jaxgan.speech.noisy_scores import NoisyScores
from jaxgan.speech.replay import make_record, replay_batches
from jaxgan.speech.stft import magnitude, stft
from jaxgan.speech.validation import Validation

ENHANCED = 1  # the column of labels and predictions; clean is 0, noisy 2
BATCH_ORDER = 2  # tells the draw of the batches' order from other draws of the same seed and round


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run; bound to the steps before they are compiled.

    Attributes:
        masking: front end and generator.
        discriminator: the surrogate of the score.
        generator_optimizer: of G.
        warmup_optimizer: of G in warm-up rounds; it shares the generator optimizer's state.
        discriminator_optimizer: of D.
        target: the score, on D's scale, that G asks for; below 1 it assigns a worse one.
        through_waveform: D judges the features of the resynthesised waveform, and G's gradient
            passes through it; otherwise D judges the masked feature itself.
    """

    masking: Masking
    discriminator: MetricDiscriminator
    generator_optimizer: optax.GradientTransformation
    warmup_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    target: float
    through_waveform: bool


def init(key: jax.Array, *, system: System) -> RunState:
    """Both players before their first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    frames = system.discriminator.least_frames
    feature = jnp.zeros((1, frames, system.masking.front_end.bins))
    count = jnp.full((1,), frames)
    generator = system.masking.generator.init(generator_key, feature, count)
    discriminator = system.discriminator.init(discriminator_key, feature, feature, count)
    return begin(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer),
            "discriminator": make_player(discriminator, system.discriminator_optimizer),
        },
    )


def enhance_step(run_state: RunState, batch: Batch, *, system: System) -> jax.Array:
    """What G makes of the noisy utterances: int16 [B, T]."""
    params = run_state.players["generator"].params
    enhanced = enhance(system.masking, params, as_float(batch.noisy), batch.lengths)
    return as_int16(enhanced)


def enhance_and_score_step(
    run_state: RunState, batch: Batch, *, system: System, pool: ScorePool, mesh: Mesh
) -> tuple[jax.Array, jax.Array]:
    """What G makes, and its raw scores float32 [B], asked of the host within the step."""
    enhanced = enhance_step(run_state, batch, system=system)
    return enhanced, score_in_step(pool, batch.clean, enhanced, batch.lengths, mesh)


def judge(
    system: System,
    player: Player,
    candidate: jax.Array,
    clean: jax.Array,
    lengths: jax.Array,
) -> tuple[jax.Array, PyTree]:
    """D's prediction for candidate features, float32 [B], and D's state after the call."""
    return system.discriminator.apply(
        {"params": player.params, **player.state},
        candidate,
        clean,
        system.masking.frames(lengths),
        mutable=list(player.state),
    )


def discriminator_step(
    run_state: RunState,
    clean: jax.Array,
    candidates: jax.Array,
    labels: jax.Array,
    lengths: jax.Array,
    *,
    system: System,
) -> tuple[RunState, Metrics]:
    """D moves once: sum over kinds of candidates of the mean of (D(candidate, clean) - label)^2.

    With the kinds clean (label 1) and enhanced (label Q') this is the paper's loss of D; MetricGAN+
    adds the kind noisy.

    Args:
        run_state: donated.
        clean: int16 [B, T].
        candidates: int16 [B, K, T], one of each kind.
        labels: float32 [B, K]; NaN takes no part: a candidate without a score, or a padding row.
        lengths: int32 [B], samples.
        system: what is fixed.

    Returns:
        The state, and `loss` [] and `prediction` [B, K] from before the update.
    """
    batch, kinds, samples = candidates.shape
    feature = system.masking.feature_of(as_float(candidates.reshape(batch * kinds, samples)))
    clean_feature = jnp.repeat(system.masking.feature_of(as_float(clean)), kinds, axis=0)
    known = jnp.isfinite(labels)
    targets = jnp.where(known, labels, 0)

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        opt_state = run_state.players["discriminator"].opt_state
        player = Player(params=params, state=state, opt_state=opt_state)
        prediction, state = judge(
            system, player, feature, clean_feature, jnp.repeat(lengths, kinds)
        )
        prediction = prediction.reshape(batch, kinds)
        value = jnp.sum(masked_mean((prediction - targets) ** 2, known, axis=0))
        return value, (state, {"loss": value, "prediction": prediction})

    return descend(run_state, "discriminator", loss, system.discriminator_optimizer)


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: the mean of (D(G(noisy), clean) - target)^2 (the paper's loss of G).

    D is a fixed function here: neither its parameters nor its state change.
    """
    masking = system.masking
    key = jax.random.fold_in(run_state.key, run_state.step)
    spectrum = stft(as_float(batch.noisy), masking.front_end)
    noisy_feature = masking.compress(magnitude(spectrum))
    clean_feature = masking.feature_of(as_float(batch.clean))

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        feature = masked_feature(masking, params, noisy_feature, batch.lengths, key)
        if system.through_waveform:
            feature = masking.feature_of(resynthesise(masking, feature, spectrum, batch.lengths))
        prediction, _ = judge(
            system, run_state.players["discriminator"], feature, clean_feature, batch.lengths
        )
        value = masked_mean((prediction - system.target) ** 2, batch.lengths > 0)
        return value, (state, {"loss": value})

    return descend(run_state, "generator", loss, system.generator_optimizer)


def warmup_step(run_state: RunState, batch: Batch, *, system: System) -> tuple[RunState, Metrics]:
    """G moves once, supervised: mean |masked feature - clean feature|. In neither paper."""
    masking = system.masking
    key = jax.random.fold_in(run_state.key, run_state.step)
    noisy_feature = masking.feature_of(as_float(batch.noisy))
    clean_feature = masking.feature_of(as_float(batch.clean))
    frames = masking.frames(batch.lengths)
    valid = (jnp.arange(clean_feature.shape[1]) < frames[:, None])[..., None]

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        feature = masked_feature(masking, params, noisy_feature, batch.lengths, key)
        value = masked_mean(jnp.abs(feature - clean_feature), valid)
        return value, (state, {"loss": value})

    return descend(run_state, "generator", loss, system.warmup_optimizer)


def make_system(config: ConfigDict) -> System:
    """The networks and optimizers of a config."""
    discriminator = MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype))

    def adam(learning_rate: float) -> optax.GradientTransformation:
        transformation = optax.adam(learning_rate, b1=config.adam_b1, b2=config.adam_b2)
        if config.gradient_clip:
            return optax.chain(optax.clip_by_global_norm(config.gradient_clip), transformation)
        return transformation

    return System(
        masking=make_masking(config),
        discriminator=discriminator,
        generator_optimizer=adam(config.generator_learning_rate),
        warmup_optimizer=adam(config.warmup_learning_rate),
        discriminator_optimizer=adam(config.discriminator_learning_rate),
        target=config.target,
        through_waveform=config.through_waveform,
    )


class Rows(NamedTuple):
    """What the rows of a batch are, on the host: index, gain and lengths of `Batch`, each [B]."""

    number: np.ndarray
    gain: np.ndarray
    lengths: np.ndarray


@struct.dataclass
class Log:
    """What a round's steps reported, left on the devices until the round ends."""

    generator: list[jax.Array] = dataclasses.field(default_factory=list)
    first: list[Metrics] = dataclasses.field(default_factory=list)
    replay: list[Metrics] = dataclasses.field(default_factory=list)
    again: list[Metrics] = dataclasses.field(default_factory=list)


class Lesson(NamedTuple):
    """What D learns from one batch; the arguments of `discriminator_step`."""

    clean: jax.Array
    candidates: jax.Array
    labels: jax.Array
    lengths: jax.Array


class MetricGAN:
    """The recipe: what `jaxgan.core.loop` drives.

    Args:
        config: see configs/metricgan.py.
        mesh: the devices.
        corpora: training and validation data, checked.
        pool: open worker processes that know `config.score`, as their first, and the validation's.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, corpora: Corpora, pool: ScorePool) -> None:
        self.config = config
        self.mesh = mesh
        self.pool = pool
        self.corpus = corpora.train
        self.score = with_map(get(config.score), config.score_map)
        self.system = make_system(config)
        self.compile()
        load = functools.partial(
            Loader,
            batch_size=config.batch_size,
            seed=config.seed,
            mesh=mesh,
            resident_megabytes=config.data.resident_megabytes,
        )
        self.loader = load(corpora.train, count=config.utterances_per_round)
        self.valid_loader = load(corpora.valid, count=len(corpora.valid))
        fixed = isinstance(corpora.train, PairCorpus)
        self.noisy_scores = NoisyScores(pool, config.score, mesh, self.fetch, fixed)
        front_end = self.system.masking.front_end
        self.validation = Validation(self.valid_loader, pool, pool.scores, front_end, self.fetch)

    def compile(self) -> None:
        """Binds what is fixed to the steps; each compiles once for every length of batches."""
        everywhere, rows = devices.replicated(self.mesh), devices.sharded(self.mesh)
        move = functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
        look = functools.partial(jax.jit, out_shardings=rows)
        bind = functools.partial
        system = self.system
        self.init = jax.jit(bind(init, system=system), out_shardings=everywhere)
        self.warmup_step = move(bind(warmup_step, system=system))
        self.generator_step = move(bind(generator_step, system=system))
        self.discriminator_step = move(bind(discriminator_step, system=system))
        self.enhance_step = look(bind(enhance_step, system=system))
        self.enhance_and_score_step = look(
            bind(enhance_and_score_step, system=system, pool=self.pool, mesh=self.mesh)
        )
        self.stack = look(lambda kinds: jnp.stack(kinds, axis=1))
        self.gather = jax.jit(lambda array: array, out_shardings=everywhere)

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        config, log = self.config, Log()
        warming = number <= config.warmup_rounds
        generator_first = config.order == "generator_first"
        with timer.part("data"):
            batches, rows = self.draw(number)

        # In its first round D has nothing to teach yet.
        if warming or (generator_first and number > 1):
            state = self.generator_pass(state, batches, warming, timer, log)

        with timer.part("enhance"):
            enhanced, pending, noisy = self.enhance(state, batches, rows)
        if config.scoring.delay:
            state = self.replay_pass(state, history, number, timer, log)
        with timer.part("score"):
            labels = self.labels(pending, noisy, rows)
            require_scores(labels, history, config.score)
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

    def evaluate(self, state: RunState, number: int) -> Evaluation:
        """The true scores of the validation set."""
        return self.validation(functools.partial(self.enhance_step, state))

    def close(self) -> None:
        """Ends the loaders' threads and the worker processes."""
        self.loader.close()
        self.valid_loader.close()
        self.pool.close()

    def fetch(self, tree: Any) -> Any:
        """Arrays on the devices of any process, whole, in the memory of every host."""
        whole = jax.tree.map(lambda a: a if a.is_fully_addressable else self.gather(a), tree)
        return jax.device_get(whole)

    def draw(self, number: int) -> tuple[list[Batch], list[Rows]]:
        """The round's batches in a random order, and on the host what their rows are."""
        batches = self.loader.round(number)
        order = generator(self.config.seed, number, BATCH_ORDER).permutation(len(batches))
        batches = [batches[place] for place in order]
        rows = self.fetch([(batch.index, batch.gain, batch.lengths) for batch in batches])
        return batches, [Rows(*fields) for fields in rows]

    def generator_pass(
        self, state: RunState, batches: Sequence[Batch], warming: bool, timer: Timer, log: Log
    ) -> RunState:
        """G learns from every batch once."""
        step = self.warmup_step if warming else self.generator_step
        with timer.part("warmup" if warming else "generator"):
            for batch in batches:
                state, metrics = step(state, batch)
                log.generator.append(metrics["loss"])
            jax.block_until_ready(state.step)
        return state

    def enhance(
        self, state: RunState, batches: Sequence[Batch], rows: Sequence[Rows]
    ) -> tuple[list[jax.Array], list[Any], list[PendingScores]]:
        """What G makes of every batch, and scores to come: of the enhanced, and of the noisy."""
        noisy = []
        if self.config.noisy_teaches:
            noisy = self.noisy_scores.request(batches, [row.number for row in rows])
        if not self.config.scoring.delay:
            pairs = [self.enhance_and_score_step(state, batch) for batch in batches]
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs], noisy
        enhanced = [self.enhance_step(state, batch) for batch in batches]
        pending = [
            submit_shards(self.pool, batch.clean, made, batch.lengths, (self.config.score,))
            for batch, made in zip(batches, enhanced, strict=True)
        ]
        return enhanced, pending, noisy

    def labels(
        self, pending: Sequence[Any], noisy: Sequence[PendingScores], rows: Sequence[Rows]
    ) -> list[np.ndarray]:
        """Waits for the scores. float32 [B, K] of every batch: clean, enhanced, and maybe noisy."""
        if self.config.scoring.delay:
            pending = [scores.collect() for scores in pending]
        raw = self.fetch(list(pending))
        columns = [[self.score.normalise(values) for values in raw]]
        if self.config.noisy_teaches:
            known = self.noisy_scores.collect(noisy, [row.number for row in rows])
            columns.append([self.score.normalise(values) for values in known])
        clean = [np.where(row.lengths > 0, 1.0, np.nan) for row in rows]
        kinds = zip(clean, *columns, strict=True)
        return [np.stack(kind, axis=1).astype(np.float32) for kind in kinds]

    def lessons(
        self, batches: Sequence[Batch], enhanced: Sequence[jax.Array], labels: Sequence[np.ndarray]
    ) -> list[Lesson]:
        """Candidates of every kind beside their labels."""
        lessons = []
        for batch, made, label in zip(batches, enhanced, labels, strict=True):
            kinds = [batch.clean, made, batch.noisy][: label.shape[1]]
            placed = devices.put_sharded(label, self.mesh)
            lessons.append(Lesson(batch.clean, self.stack(kinds), placed, batch.lengths))
        return lessons

    def discriminator_pass(
        self, state: RunState, lessons: Iterable[Lesson], timer: Timer, log: list[Metrics]
    ) -> RunState:
        """D learns from every lesson once."""
        with timer.part("discriminator"):
            for lesson in lessons:
                state, metrics = self.discriminator_step(state, *lesson)
                log.append(metrics)
            jax.block_until_ready(state.step)
        return state

    def replay_pass(
        self, state: RunState, history: History, number: int, timer: Timer, log: Log
    ) -> RunState:
        """D learns again from a share of what all earlier generators made."""
        config = self.config
        items = replay_batches(
            history, self.corpus, config.replay.share, config.batch_size, config.seed, number
        )
        with timer.part("replay"):
            for item in items:
                best = np.where(np.isfinite(item.labels), np.float32(1), np.float32(np.nan))
                columns = [best, item.labels] if config.replay.clean else [item.labels]
                labels = np.stack(columns, axis=1)
                host = (item.clean, item.enhanced, labels, item.lengths)
                clean, made, labels, lengths = devices.put_sharded(host, self.mesh)
                kinds = [clean, made] if config.replay.clean else [made]
                lesson = Lesson(clean, self.stack(kinds), labels, lengths)
                state, metrics = self.discriminator_step(state, *lesson)
                log.replay.append(metrics)
            jax.block_until_ready(state.step)
        return state

    def record(
        self, enhanced: Sequence[jax.Array], labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> Record:
        """What later rounds replay of this one."""
        if not self.config.replay.share:
            return {}
        made = [row for batch in self.fetch(list(enhanced)) for row in batch]
        index, gain, lengths = (np.concatenate(field) for field in zip(*rows, strict=True))
        label = np.concatenate([columns[:, ENHANCED] for columns in labels])
        return make_record(index, gain, lengths, made, label)

    def summary(
        self, log: Log, labels: Sequence[np.ndarray], rows: Sequence[Rows]
    ) -> dict[str, float]:
        """The round's metrics. What was undefined in this round is left out."""
        log = self.fetch(log)
        label = np.concatenate(labels)[:, ENHANCED]
        prediction = np.concatenate([m["prediction"] for m in log.first])[:, ENHANCED]
        lengths = np.concatenate([row.lengths for row in rows])
        known = np.isfinite(label)
        error = prediction[known] - label[known]
        means = {
            "g_loss": log.generator,
            "d_loss": [m["loss"] for m in (*log.first, *log.again)],
            "d_loss_replay": [m["loss"] for m in log.replay],
            "label": label[known],
            "d_mae": np.abs(error),
        }
        metrics = {name: float(np.mean(values)) for name, values in means.items() if len(values)}
        if known.sum() > 1 and np.std(label[known]) > 0 and np.std(prediction[known]) > 0:
            matrix = np.corrcoef(label[known], prediction[known])
            metrics["d_correlation"] = float(matrix[0, 1])
        metrics["unscorable"] = float(np.count_nonzero((lengths > 0) & ~known))
        metrics["replayed"] = float(len(log.replay) * self.config.batch_size)
        seconds = lengths.sum() / self.system.masking.front_end.sample_rate
        return metrics | {"throughput/audio_seconds": float(seconds)}


def require_scores(labels: Sequence[np.ndarray], history: History, score: str) -> None:
    """Raises UserError if nothing has had a score so far: not bad utterances, but a bad score."""
    if np.isfinite(np.concatenate(labels)[:, ENHANCED]).any():
        return
    if not any(len(record.get("labels", ())) for record in history):
        raise UserError(
            f"config.score={score}: not one enhanced utterance has a score, so there is nothing to "
            "learn; the warnings above say why, or try the score on a file with jaxgan.scores.get"
        )


CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "feature": ("linear", "log1p"),
    "order": ("generator_first", "discriminator_first"),
    "score_map": ("paper", "range"),
    "scoring.delay": (0, 1),
    "scoring.where": ("host",),
}


def check(config: ConfigDict) -> None:
    """Raises UserError, naming the key, for a value that makes no sense."""
    for key, choices in CHOICES.items():
        value = functools.reduce(lambda section, name: section[name], key.split("."), config)
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise UserError(f"config.{key}={value}: choose one of {known}")
    for key in ("rounds", "utterances_per_round", "batch_size"):
        if config[key] < 1:
            raise UserError(f"config.{key}={config[key]}: must be 1 or more")
    if not 0 <= config.replay.share <= 1:
        raise UserError(f"config.replay.share={config.replay.share}: must be from 0 to 1")


def make(config: ConfigDict, mesh: Mesh) -> MetricGAN:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    check(config)
    scores = (config.score, *config.validation.scores)
    pool = ScorePool(
        scores,
        config.front_end.sample_rate,
        config.scoring.workers,
        config.scoring.deadline_seconds,
    )
    try:
        # Every process checks the data; one report is enough.
        tell = print if jax.process_index() == 0 else lambda _: None
        corpora = open_corpora(config, tell)
        pool.wait_until_ready()
        return MetricGAN(config, mesh, corpora, pool)
    except BaseException:
        pool.close()
        raise
