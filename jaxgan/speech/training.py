"""What a recipe that trains an enhancer needs beside its algorithm: batches, scores, validation."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.phase import Phase, Step, shuffled
from jaxgan.core.recipe import Evaluation, Recipe
from jaxgan.core.state import PyTree, RunState
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get, score_names
from jaxgan.scores.score import with_map
from jaxgan.scores.scorer import PLACES, choose_place, score_on_devices, score_on_host
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.batching import Batch, Loader
from jaxgan.speech.data.checks import HOP
from jaxgan.speech.data.corpora import Corpora, open_corpora
from jaxgan.speech.data.corpus import random_generator, spread
from jaxgan.speech.denoiser import Denoiser, make_denoiser
from jaxgan.speech.evaluation.validation import Validation
from jaxgan.speech.networks.masking import as_float, as_int16

BATCH_ORDER = 2  # tells the draw of the batches' order from other draws of the same seed and round

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


class Rows(NamedTuple):
    """What the rows of a batch are, on the host: index, gain and lengths of `Batch`, each [B]."""

    utterance: np.ndarray
    gain: np.ndarray
    lengths: np.ndarray


def enhance_step(params: PyTree, batch: Batch, *, denoiser: Denoiser) -> jax.Array:
    """What a generator makes of the noisy utterances: int16 [B, T]."""
    return as_int16(denoiser.enhance(params, as_float(batch.noisy), batch.lengths))


class Training:
    """Data, score and devices of one run.

    Args:
        config: of the run.
        mesh: the devices.
        corpora: training and validation data, checked.
        pool: open worker processes that know `config.score`, as their first, and the validation's.

    Attributes:
        mesh: the devices.
        keeps: files that the loop keeps in the run's folder: digests of the data.
        pool: the worker processes.
        corpus: the training data.
        denoiser: front end and generator.
        scores: those of the config, with its map to [0, 1]; most recipes take the first alone.
        scorers: compute their raw values for training.
        loader: of the training data.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, corpora: Corpora, pool: ScorePool) -> None:
        self.mesh = mesh
        self.pool = pool
        self.corpus = corpora.train
        self.denoiser = make_denoiser(config)
        names = score_names(config.score)
        self.scores = [with_map(get(name), config.score_map) for name in names]
        twins = [
            score_on_devices(name, mesh)
            if choose_place(config.scoring.where, name) == "device"
            else None
            for name in names
        ]
        self.scorers = [
            twin or score_on_host(name, pool, mesh, config.scoring.delay)
            for name, twin in zip(names, twins, strict=True)
        ]
        self.keeps = {"data.json": corpora.digests()}
        self._seed = config.seed
        load = functools.partial(
            Loader,
            batch_size=config.batch_size,
            seed=config.seed,
            mesh=mesh,
            resident_megabytes=config.data.resident_megabytes,
        )
        self.loader = load(corpora.train, count=config.utterances_per_round)
        self._rounds = config.rounds
        count = len(corpora.valid)
        some = min(config.validation.utterances or count, count)
        self._valid_loaders = [
            load(corpora.valid.select(spread(count, size)), count=size)
            for size in dict.fromkeys((some, count))
        ]
        self._enhance = self.look(functools.partial(enhance_step, denoiser=self.denoiser))
        self._gather = jax.jit(lambda array: array, out_shardings=devices.replicated(mesh))
        self._validations = [
            Validation(loader, pool, pool.scores, self.denoiser.front_end, self.fetch, twins[0])
            for loader in self._valid_loaders
        ]

    def begin(self, init: Callable[[jax.Array], RunState]) -> Callable[[jax.Array], RunState]:
        """Compiles what makes the first state, on every device."""
        return jax.jit(init, out_shardings=devices.replicated(self.mesh))

    def move(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles a step that changes the state, its first argument, which is donated."""
        whole = devices.replicated(self.mesh)
        program = jax.jit(step, donate_argnums=0, out_shardings=whole)
        return devices.under(self.mesh, program)

    def phase(self, step: Step) -> Phase:
        """Compiles a step that changes the state, its first argument, over many batches."""
        return Phase(step, self.mesh)

    def look(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles a step whose results are rows of a batch."""
        program = jax.jit(step, out_shardings=devices.sharded(self.mesh))
        return devices.under(self.mesh, program)

    def fetch(self, tree: Any) -> Any:
        """Arrays on the devices of any process, whole, in the memory of every host."""
        whole = jax.tree.map(lambda a: a if a.is_fully_addressable else self._gather(a), tree)
        return jax.device_get(whole)

    def draw(self, number: int) -> tuple[list[Batch], list[Rows]]:
        """A round's batches in a random order, and on the host what their rows are."""
        batches = self.loader.round(number)
        random = random_generator(self._seed, number, BATCH_ORDER)
        order = shuffled([batch.clean.shape for batch in batches], random)
        batches = [batches[place] for place in order]
        rows = self.fetch([(batch.index, batch.gain, batch.lengths) for batch in batches])
        return batches, [Rows(*fields) for fields in rows]

    def seconds(self, rows: Sequence[Rows]) -> float:
        """Seconds of speech in these batches."""
        samples = sum(int(row.lengths.sum()) for row in rows)
        return samples / self.denoiser.front_end.sample_rate

    def enhance(self, state: RunState, batch: Batch) -> jax.Array:
        """What G makes of a batch: int16 [B, T]."""
        enhanced: jax.Array = self._enhance(state.players["generator"].params, batch)
        return enhanced

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation utterances, by the host, of G as it will be used.

        After the last round also those of all that the corpus holds out, with "all_" before their
        names. They do not decide which checkpoint is best: the rounds before have none.
        """
        enhance = functools.partial(self._enhance, state.players["generator"].deployed)
        some, *every = self._validations
        of_some = some(enhance, number)
        if not every or number < self._rounds:
            return of_some
        of_all = every[0](enhance, number)

        def found() -> Evaluation:
            evaluation = of_some()
            more = {f"all_{name}": value for name, value in of_all().metrics.items()}
            return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **more})

        return found

    def close(self) -> None:
        """Ends the loaders' threads and the worker processes."""
        self.loader.close()
        for loader in self._valid_loaders:
            loader.close()
        self.pool.close()


CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "feature": ("linear", "log1p"),
    "score_map": ("paper", "range"),
    "scoring.delay": (0, 1),
    "scoring.where": PLACES,
    "front_end.sample_rate": (SAMPLE_RATE,),
}


RANGES = {
    "rounds": (1, math.inf),
    "utterances_per_round": (1, math.inf),
    "batch_size": (1, math.inf),
    "validation.utterances": (0, math.inf),
    "generator.layers": (1, math.inf),
    "generator.width": (1, math.inf),
    "generator.dense": (1, math.inf),
    "generator.dropout": (0, 0.99),
    "generator.floor": (0, 1),
    "generator_learning_rate": (0, math.inf),
    "adam_b1": (0, 0.99999),
    "adam_b2": (0, 0.99999),
    "gradient_clip": (0, math.inf),
    "front_end.hop": (1, HOP),
}
"""The least and the greatest value of a key."""


def check(
    config: ConfigDict,
    choices: Mapping[str, tuple[Any, ...]] = CHOICES,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
) -> None:
    """Raises UserError, naming the key, for a value that makes no sense."""
    configs.check_values(config, choices, ranges)
    if HOP % config.front_end.hop:
        raise UserError(f"config.front_end.hop={config.front_end.hop}: must divide {HOP}")


def require_scores(scores: Sequence[np.ndarray], number: int, name: str) -> None:
    """Raises UserError if nothing of a round has a score."""
    if not np.isfinite(np.concatenate(scores)).any():
        raise UserError(
            f"config.score={name}: not one enhanced utterance of round {number} has a score, so "
            "there is nothing to learn; look at the data"
        )


def assemble(
    config: ConfigDict, mesh: Mesh, recipe: Callable[[ConfigDict, Training], AnyRecipe]
) -> AnyRecipe:
    """A recipe with its data read and checked and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    scores = tuple(dict.fromkeys((*score_names(config.score), *config.validation.scores)))
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
        return recipe(config, Training(config, mesh, corpora, pool))
    except BaseException:
        pool.close()
        raise
