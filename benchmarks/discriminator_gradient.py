"""Compares the gradient of MetricGAN's discriminator with that of the score that it learns.

    python benchmarks/discriminator_gradient.py --workdir=DIR [--seeds=3] [--updates=600]
        [--rows=published,varied,matched] --config.data.kind=mix --config.data.speech=DIR
        --config.data.noise=DIR [--config.key=value ...]

G first learns masks from clean speech and then stays as it is. A new D learns from what G makes of
segments of 1.5 s, in one of these ways:

    published   the scores of clean, enhanced and noisy speech, like MetricGAN+
    varied      in addition those of speech that is enhanced with varied masks, so that D sees how
                the score changes within an utterance
    matched     as published, but every update is followed by one down 1 - cosine of D's gradient
                and the score's, both with respect to G's output

Then D is compared with the score on segments of other speakers and noises:

    utterances  the correlation of prediction and score over enhanced utterances
    within      the correlation of their changes when an utterance's mask is varied
    output      the mean over utterances of the cosine of both gradients with respect to G's output
    parameters  the cosine of both gradients of the mean with respect to G's parameters: this is
                what moves G
    gain        the change of the score, mapped to [0, 1], after 24 steps of G along the gradient

The row `score` follows the score's own gradient; its `parameters` is the cosine of two halves of
the segments. The score must have a JAX function that passes gradients. Prints the means over seeds
and their 95 % intervals; WORKDIR keeps what each seed has found, and the same command continues.
"""

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from jax.flatten_util import ravel_pytree
from ml_collections import ConfigDict
from trained_runs import ROOT, interval

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.files import replace
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
)
from jaxgan.scores.registry import get
from jaxgan.scores.score import with_map
from jaxgan.scores.training_scores import DeviceScore, find_device_score
from jaxgan.speech.data.batching import Batch, Loader
from jaxgan.speech.data.corpora import Corpus, open_corpora
from jaxgan.speech.networks.masking import (
    as_float,
    as_int16,
    masked_feature,
    predict_mask,
    resynthesise,
)
from jaxgan.speech.networks.stft import magnitude, stft
from jaxgan.speech.scored_batches import ScoredBatch
from jaxgan.speech.systems import metricgan

ROWS = ("published", "varied", "matched")
COLUMNS = ("utterances", "within", "output", "parameters", "gain")
SEGMENT = 94 * 256
"""Samples of a segment: 1.5 s, since an update costs as much as it has cells."""
TRAIN, HELD_OUT = 192, 32
BATCH, SMALL_BATCH = 8, 2
"""Segments that are measured together, and those of an update: D needs many, not large ones."""
SUPERVISED_UPDATES = 400
G_STEPS, G_RATE = 24, 2e-4
DEFAULTS = (
    # A third of the cost of MetricGAN+'s 15 channels.
    "--config.discriminator.channels=(8, 8, 8, 8)",
    "--config.discriminator_learning_rate=2e-3",
    "--config.data.longest_seconds=10",
)


class Segments(NamedTuple):
    """Pairs of segments.

    Attributes:
        clean: float32 [N, SEGMENT].
        noisy: float32 [N, SEGMENT].
    """

    clean: jax.Array
    noisy: jax.Array

    def take(self, rows: np.ndarray | slice) -> "Segments":
        """Returns some of the pairs."""
        return Segments(self.clean[rows], self.noisy[rows])

    def batches(self) -> list["Segments"]:
        """Returns all pairs in batches of `BATCH`."""
        return [self.take(slice(k, k + BATCH)) for k in range(0, len(self.clean), BATCH)]


Judge = Callable[[jax.Array, Segments], tuple[jax.Array, jax.Array]]
"""(G's output float32 [B, frames, bins], segments) -> values float32 [B], and the gradient of their
sum with respect to the output."""


class Gradients(NamedTuple):
    """What a judge says of G's output for N segments.

    Attributes:
        values: float32 [N].
        output: float32 [N, cells], the gradient of each value with respect to G's output.
        parameters: float64 [N / BATCH, parameters], that of a batch with respect to G's parameters.
    """

    values: np.ndarray
    output: np.ndarray
    parameters: np.ndarray


class Experiment:
    """The data, the score and the supervised G of one seed.

    Args:
        config: see configs/metricgan_plus.py.
        score: the JAX function of `config.score`.
    """

    def __init__(self, config: ConfigDict, score: DeviceScore) -> None:
        corpora = open_corpora(config, lambda _: None)
        self.system = metricgan.make_system(config, corpora.train.names)
        self.random = np.random.default_rng(config.seed)
        self.key = jax.random.key(config.seed)
        self.train = segments(corpora.train, TRAIN, config)
        self.held_out = segments(corpora.valid, HELD_OUT, config)
        self.jit = functools.cache(functools.partial(jitted, system=self.system))
        scale = with_map(get(config.score), config.score_map).normalise
        of_waves = functools.partial(scores_of_waves, score=score, scale=scale)
        self.scores_of_waves = jax.jit(of_waves)
        of_output = functools.partial(scores_of_output, score=of_waves, system=self.system)
        self.score: Judge = jax.jit(with_gradient(of_output))
        self.state = self.supervised()
        self.generator = self.state.players["generator"].params
        self.truth = self.gradients(self.score)

    def rows(self, count: int) -> np.ndarray:
        """Returns the positions of training segments that are drawn at random."""
        return self.random.choice(TRAIN, count, replace=False)

    def supervised(self) -> RunState:
        """Returns the state after `SUPERVISED_UPDATES` of G on clean speech; D is new."""
        state = self.jit(metricgan.init)(self.key)
        for _ in range(SUPERVISED_UPDATES):
            rows = self.rows(SMALL_BATCH)
            clean, noisy = map(as_int16, self.train.take(rows))
            ones = jnp.ones(SMALL_BATCH)
            batch = Batch(clean, noisy, lengths(clean), jnp.asarray(rows), ones)
            state, _ = self.jit(metricgan.warmup_step)(state, batch)
        return state

    def measure(self, row: str, updates: int) -> dict[str, float]:
        """Returns the columns of a row; see the top of this file."""
        if row == "score":
            halves = self.truth.parameters[::2].sum(0), self.truth.parameters[1::2].sum(0)
            return {"parameters": cosine(*halves), "gain": self.gain(self.score)}
        player = self.learn(row, updates)
        of_output = functools.partial(predictions, player=player, system=self.system)
        judge: Judge = jax.jit(with_gradient(of_output))
        found = self.gradients(judge)
        truth, of_prediction = (self.changes(each) for each in (self.score, judge))
        pairs = zip(found.output, self.truth.output, strict=True)
        return {
            "utterances": correlation(found.values, self.truth.values),
            "within": correlation(of_prediction, truth),
            "output": float(np.mean([cosine(*pair) for pair in pairs])),
            "parameters": cosine(found.parameters.sum(0), self.truth.parameters.sum(0)),
            "gain": self.gain(judge),
        }

    def learn(self, row: str, updates: int) -> Player:
        """Returns a D that has learned for a number of updates in the way of a row."""
        candidates = {"clean": self.train.clean, "noisy": self.train.noisy}
        of_kind = {"enhanced": enhance, "varied": enhance_varied}
        kinds = ("enhanced", "varied") if row == "varied" else ("enhanced",)
        for kind in kinds:
            make = self.jit(of_kind[kind])
            made = [make(self.generator, *each) for each in self.numbered(self.train)]
            candidates[kind] = jnp.concatenate(made)
        labels = np.stack([self.scores(waves) for waves in candidates.values()], axis=1)
        aims = self.gradients(self.score, self.train) if row == "matched" else None
        state = self.state
        for _ in range(updates):
            rows = self.rows(SMALL_BATCH)
            clean = as_int16(self.train.clean[rows])
            shown = tuple(as_int16(waves[rows]) for waves in candidates.values())
            scored = ScoredBatch(clean, shown, jnp.asarray(labels[rows, :, None]), lengths(clean))
            state, _ = self.jit(metricgan.discriminator_step)(state, scored)
            if aims is not None:
                some = self.train.take(rows)
                output = self.jit(generator_output)(self.generator, some)
                state, _ = self.jit(match_step)(state, output, some, jnp.asarray(aims.output[rows]))
        return state.players["discriminator"]

    def numbered(self, of: Segments) -> list[tuple[Segments, jax.Array]]:
        """Returns segments in batches, each with a key of its own."""
        batches = of.batches()
        return list(zip(batches, jax.random.split(self.key, len(batches)), strict=True))

    def scores(self, waves: jax.Array) -> np.ndarray:
        """Returns the scores, float32 [N], of candidates for the training segments."""
        candidates = [waves[k : k + BATCH] for k in range(0, TRAIN, BATCH)]
        pairs = zip(self.train.batches(), candidates, strict=True)
        return np.concatenate([self.scores_of_waves(some.clean, each) for some, each in pairs])

    def gradients(self, judge: Judge, of: Segments | None = None) -> Gradients:
        """Returns what a judge says of G's output for segments, by default the held-out ones."""
        found = []
        for batch in (self.held_out if of is None else of).batches():
            output = self.jit(generator_output)(self.generator, batch)
            values, of_output = judge(output, batch)
            of_parameters = self.jit(pull_back)(self.generator, batch, of_output)
            made = (values, of_output.reshape(len(values), -1), of_parameters[None])
            found.append(tuple(map(np.asarray, made)))
        all_values, outputs, parameters = map(np.concatenate, zip(*found, strict=True))
        return Gradients(all_values, outputs, parameters.astype(np.float64))

    def changes(self, judge: Judge) -> np.ndarray:
        """Returns how a judge's values of held-out segments change if masks vary, float32 [N]."""
        found = []
        for batch, key in self.numbered(self.held_out):
            plain = self.jit(generator_output)(self.generator, batch)
            varied = self.jit(varied_output)(self.generator, batch, key)
            found.append(judge(varied, batch)[0] - judge(plain, batch)[0])
        return np.concatenate(found)

    def gain(self, judge: Judge) -> float:
        """Returns the change of the mean score on held-out segments when G follows a judge."""
        optimizer = optax.adam(G_RATE)
        params, state = self.generator, optimizer.init(self.generator)
        _, unflatten = ravel_pytree(params)
        for _ in range(G_STEPS):
            some = self.train.take(self.rows(BATCH))
            _, of_output = judge(self.jit(generator_output)(params, some), some)
            upwards = self.jit(pull_back)(params, some, of_output)
            updates, state = optimizer.update(unflatten(-upwards), state)
            params = optax.apply_updates(params, updates)
        batches = self.held_out.batches()
        after = [self.score(self.jit(generator_output)(params, some), some)[0] for some in batches]
        return float(np.mean(after) - self.truth.values.mean())


def jitted(function: Callable[..., Any], system: metricgan.System) -> Callable[..., Any]:
    """Returns a compiled function with its argument `system`."""
    return jax.jit(functools.partial(function, system=system))


def with_gradient(
    values: Callable[[jax.Array, Segments], jax.Array],
) -> Callable[[jax.Array, Segments], tuple[jax.Array, jax.Array]]:
    """Returns a `Judge` that takes its values from a function of the same arguments."""

    def judge(output: jax.Array, segments: Segments) -> tuple[jax.Array, jax.Array]:
        found, back = jax.vjp(lambda each: values(each, segments), output)
        [gradient] = back(jnp.ones_like(found))
        return found, gradient

    return judge


def lengths(waves: jax.Array) -> jax.Array:
    """Returns the lengths of waves [B, T] that have no padding, int32 [B]."""
    return jnp.full(waves.shape[0], waves.shape[1], jnp.int32)


def spectrum_and_feature(noisy: jax.Array, system: metricgan.System) -> tuple[jax.Array, jax.Array]:
    """Returns the spectrum of noisy speech and what the mask multiplies."""
    spectrum = stft(noisy, system.masking.front_end)
    return spectrum, system.masking.compress(magnitude(spectrum))


def generator_output(params: PyTree, some: Segments, *, system: metricgan.System) -> jax.Array:
    """Returns the masked feature of noisy speech, float32 [B, frames, bins]."""
    _, feature = spectrum_and_feature(some.noisy, system)
    return masked_feature(system.masking, params, feature, lengths(some.noisy))


def varied_output(
    params: PyTree, some: Segments, key: jax.Array, *, system: metricgan.System
) -> jax.Array:
    """Returns the masked feature with masks to smooth random powers, mostly from 0.4 to 2.5."""
    _, feature = spectrum_and_feature(some.noisy, system)
    mask = predict_mask(system.masking, params, feature, lengths(some.noisy))
    coarse = jax.random.normal(key, (len(mask), 6, 8))
    return mask ** jnp.exp(jax.image.resize(coarse, mask.shape, "cubic")) * feature


def to_waves(output: jax.Array, noisy: jax.Array, system: metricgan.System) -> jax.Array:
    """Returns the waveforms of G's output, float32 [B, T]."""
    spectrum, _ = spectrum_and_feature(noisy, system)
    return resynthesise(system.masking, output, spectrum, lengths(noisy))


def enhance(
    params: PyTree, some: Segments, key: jax.Array, *, system: metricgan.System
) -> jax.Array:
    """Returns enhanced speech, float32 [B, T]; the key is not used."""
    return to_waves(generator_output(params, some, system=system), some.noisy, system)


def enhance_varied(
    params: PyTree, some: Segments, key: jax.Array, *, system: metricgan.System
) -> jax.Array:
    """Returns speech that is enhanced with varied masks, float32 [B, T]."""
    return to_waves(varied_output(params, some, key, system=system), some.noisy, system)


def scores_of_waves(
    clean: jax.Array, waves: jax.Array, *, score: DeviceScore, scale: Callable[..., Any]
) -> jax.Array:
    """Returns mapped scores, float32 [B]: 0, without a gradient, for a pair that has none."""
    raw = score(clean, waves, lengths(clean))
    return jnp.where(jnp.isfinite(raw), scale(raw), 0.0)


def scores_of_output(
    output: jax.Array,
    some: Segments,
    *,
    score: Callable[[jax.Array, jax.Array], jax.Array],
    system: metricgan.System,
) -> jax.Array:
    """Returns the mapped scores of G's output, float32 [B]."""
    return score(some.clean, to_waves(output, some.noisy, system))


def predictions(
    output: jax.Array, some: Segments, *, player: Player, system: metricgan.System
) -> jax.Array:
    """Returns D's predictions for G's output, float32 [B]."""
    judged = system.masking.feature_of(to_waves(output, some.noisy, system))
    clean = system.masking.feature_of(some.clean)
    return metricgan.predict(system, player, judged, clean, lengths(some.clean))[0]


def pull_back(
    params: PyTree, some: Segments, gradient: jax.Array, *, system: metricgan.System
) -> jax.Array:
    """Returns the gradient with respect to G's parameters, float32 [n], from that of its output."""
    of_params = functools.partial(generator_output, some=some, system=system)
    _, back = jax.vjp(of_params, params)
    return ravel_pytree(back(gradient)[0])[0]


def match_step(
    run_state: RunState,
    output: jax.Array,
    some: Segments,
    aims: jax.Array,
    *,
    system: metricgan.System,
) -> StepResult:
    """Moves D once, down 1 - the mean cosine of its gradient and the aims, float32 [B, cells]."""

    def loss(players: Players) -> LossResult:
        player = players["discriminator"]
        of_output = functools.partial(predictions, player=player, system=system)
        _, found = with_gradient(of_output)(output, some)
        found = found.reshape(aims.shape)
        norms = jnp.linalg.norm(found, axis=1) * jnp.linalg.norm(aims, axis=1)
        cosines = jnp.sum(found * aims, axis=1) / jnp.maximum(norms, 1e-12)
        return 1 - cosines.mean(), ({}, {})

    return descend(run_state, {"discriminator": system.discriminator_optimizer}, loss)


def segments(corpus: Corpus, count: int, config: ConfigDict) -> Segments:
    """Returns the loudest segment of each of `count` utterances.

    Raises:
        UserError: fewer utterances are long enough.
    """
    some = min(len(corpus), 2 * count)
    clean: list[np.ndarray] = []
    noisy: list[np.ndarray] = []
    load = functools.partial(Loader, mesh=devices.make_mesh(1), resident_megabytes=0)
    with load(corpus, count=some, batch_size=BATCH, seed=config.seed) as loader:
        for batch, rows in loader.round(1):
            waves = (np.asarray(as_float(wave)) for wave in (batch.clean, batch.noisy))
            for speech, mixture, length in zip(*waves, rows.lengths, strict=True):
                if length < SEGMENT or len(clean) == count:
                    continue
                loud = np.convolve(speech[:length] ** 2, np.ones(SEGMENT), "valid").argmax()
                clean.append(speech[loud : loud + SEGMENT])
                noisy.append(mixture[loud : loud + SEGMENT])
    if len(clean) < count:
        raise UserError(f"{len(clean)} of {some} utterances have 1.5 s, but {count} are needed")
    return Segments(jnp.asarray(np.stack(clean)), jnp.asarray(np.stack(noisy)))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the cosine of two vectors; 0 if one is 0."""
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-30))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the correlation of two arrays."""
    return float(np.corrcoef(one, other)[0, 1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=epath.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=600, help="of D (default 600)")
    parser.add_argument("--rows", default=",".join(ROWS))
    options, overrides = parser.parse_known_args(arguments)
    devices.start()
    config = configs.load(f"{ROOT}/configs/metricgan_plus.py", [*DEFAULTS, *overrides])
    score = find_device_score(config.score)
    if score is None:
        raise UserError(f"config.score={config.score}: has no JAX function to differentiate")
    options.workdir.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        config.seed = seed
        experiment = functools.cache(functools.partial(Experiment, config, score))
        for row in ("score", *options.rows.split(",")):
            file = options.workdir / f"{row}_{options.updates}_{seed}.json"
            if not file.exists():
                replace(file, json.dumps(experiment().measure(row, options.updates)).encode())
            found.setdefault(row, []).append(json.loads(file.read_text()))
            print(f"seed {seed}, {row}: {found[row][-1]}", flush=True)
    print("\n| | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    for row, seeds in found.items():
        columns = ([seed[name] for seed in seeds if name in seed] for name in COLUMNS)
        cells = [interval(np.array(values), 3) for values in columns]
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
