"""The parts of a system that are not its algorithm: data, scores and validation."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.rounds import Draw, StepRecipe
from jaxgan.core.state import PyTree, RunState
from jaxgan.core.steps import Step, shuffled
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import score_names
from jaxgan.scores.training_scores import TrainingScores
from jaxgan.speech.data.augment import Augmenter, make_augmentation
from jaxgan.speech.data.batching import Batch, Loader, Rows
from jaxgan.speech.data.corpora import Corpora, open_corpora
from jaxgan.speech.data.corpus import random_generator, spread
from jaxgan.speech.evaluation.validation import Validation
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.networks.masking import as_float, as_int16

BATCH_ORDER = 2
"""Distinguishes the draw of the batches' order from other draws of the same seed and round."""


def enhance_step(params: PyTree, batch: Batch, *, denoiser: Denoiser) -> jax.Array:
    """Returns the enhanced utterances of a batch: int16 [B, T]."""
    return as_int16(denoiser.enhance(params, as_float(batch.noisy), batch.lengths))


class Training:
    """The data, the scores and the validation of one run.

    Args:
        config: the config of the run.
        denoiser: applies the generator.
        mesh: the devices.
        corpora: training and validation data, already checked.
        pool: open worker processes that know `config.score` first and then the validation's scores.

    Attributes:
        mesh: the devices.
        corpus: the training data.
        denoiser: as given.
        scores: those of `config.score`.
        loader: the loader of the training data, not augmented.
        augments: whether `draw` augments the batches.
        valid: the validation data: those of most rounds, and all if these are not all.
        valid_loaders: the loaders of `valid`.
        files: what identifies the data, for `Recipe.files`.
        reports: the unusable files, for `Recipe.reports`.
    """

    def __init__(
        self, config: ConfigDict, denoiser: Denoiser, mesh: Mesh, corpora: Corpora, pool: ScorePool
    ) -> None:
        self.mesh = mesh
        self.corpus = corpora.train
        self.denoiser = denoiser
        self.files = {"data.json": corpora.digests()}
        self.reports = corpora.report.files()
        names = score_names(config.score)
        self._pool = pool
        self._score_map = config.score_map
        self.scores = self.scores_of(names, config.scoring.where)
        self._seed = config.seed
        self._rounds = config.rounds
        load = functools.partial(
            Loader,
            batch_size=config.batch_size,
            seed=config.seed,
            mesh=mesh,
            resident_megabytes=config.data.resident_megabytes,
        )
        self.loader = load(corpora.train, count=config.utterances_per_round)
        augmentation = make_augmentation(config.data)
        self.augments = not augmentation.changes_nothing
        self._augment = Augmenter(augmentation, config.seed, mesh)
        count = len(corpora.valid)
        some = min(config.validation.utterances or count, count)
        self.valid = [
            corpora.valid.select(spread(count, size)) for size in dict.fromkeys((some, count))
        ]
        self.valid_loaders = [load(corpus, count=len(corpus)) for corpus in self.valid]
        self._enhance = self.by_rows(functools.partial(enhance_step, denoiser=denoiser))
        self._gather = jax.jit(lambda array: array, out_shardings=devices.replicated(mesh))
        self._validations = [
            Validation(
                loader,
                pool,
                pool.scores,
                denoiser.front_end,
                self.fetch,
                self.scores.device_scores.get(names[0]),
            )
            for loader in self.valid_loaders
        ]

    def scores_of(self, names: Sequence[str], where: str) -> TrainingScores:
        """Returns some of the run's scores, computed where it says; see `TrainingScores`."""
        return TrainingScores(names, self._score_map, where, self._pool, self.mesh)

    def by_rows(self, function: Callable[..., Any]) -> Program:
        """Returns the program of a function whose results are rows, cut over the devices."""
        return Program(function, self.mesh, out_shardings=devices.sharded(self.mesh))

    def fetch(self, tree: Any) -> Any:
        """Copies arrays, which may be on the devices of any process, to every host."""
        whole = jax.tree.map(lambda a: a if a.is_fully_addressable else self._gather(a), tree)
        return jax.device_get(whole)

    def draw(self, number: int) -> tuple[list[Batch], list[Rows]]:
        """Returns the batches of a round in a random order, and their rows as the host knows them.

        They are augmented as `config.data` says.

        Batches of one shape stay together, so that they share compiled programs.
        """
        loaded, rows = zip(*self.loader.round(number), strict=True)
        batches = self._augment(loaded, number)
        random = random_generator(self._seed, number, BATCH_ORDER)
        order = shuffled([batch.clean.shape for batch in batches], random)
        return [batches[place] for place in order], [rows[place] for place in order]

    def seconds(self, rows: Sequence[Rows]) -> float:
        """Returns how many seconds of speech these batches hold."""
        samples = sum(int(row.lengths.sum()) for row in rows)
        return samples / self.denoiser.front_end.sample_rate

    def enhance(self, run_state: RunState, batch: Batch) -> jax.Array:
        """Returns the enhanced utterances of a batch: int16 [B, T]."""
        enhanced: jax.Array = self._enhance(run_state.players["generator"].params, batch)
        return enhanced

    def evaluate(self, run_state: RunState, number: int) -> Callable[[], Evaluation]:
        """Starts the validation, by the host's scores of G with its deployed parameters.

        After the last round all held-out utterances are scored as well, and those metrics have the
        prefix "all_". They do not decide which checkpoint is best, since earlier rounds lack them.
        """
        deployed = run_state.players["generator"].deployed
        return self.validate(self._enhance, [deployed] * len(self._validations), number)

    def validate(
        self, enhance: Program, inputs: Sequence[PyTree], number: int
    ) -> Callable[[], Evaluation]:
        """Starts a validation like `evaluate`, with another enhancer.

        Args:
            enhance: (inputs, batch) -> int16 [B, T].
            inputs: for each of the sets `valid`, the inputs of `enhance`.
            number: the round's.
        """
        some, *every = self._validations
        of_some = some(enhance, inputs[0], number)
        if not every or number < self._rounds:
            return of_some
        of_all = every[0](enhance, inputs[1], number)

        def wait() -> Evaluation:
            evaluation = of_some()
            more = {f"all_{name}": value for name, value in of_all().metrics.items()}
            return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **more})

        return wait

    def recipe(
        self,
        init: Callable[[jax.Array], RunState],
        step: Step,
        moves: Sequence[str],
        optional_players: Sequence[str] = (),
        check: Callable[[Mapping[str, float]], None] | None = None,
        shared: Sequence[PyTree] = (),
        evaluate: Callable[[RunState, int], Callable[[], Evaluation]] | None = None,
    ) -> StepRecipe:
        """Returns a recipe whose round is one step over the batches; see `StepRecipe`.

        `evaluate` takes the place of the usual validation.
        """

        def draw(number: int) -> Draw:
            batches, rows = self.draw(number)
            return Draw(batches, {"audio_seconds": self.seconds(rows)})

        return StepRecipe(
            self.mesh,
            init=init,
            step=step,
            moves=moves,
            draw=draw,
            evaluate=evaluate or self.evaluate,
            check=check,
            shared=shared,
            close=self.close,
            files=self.files,
            reports=self.reports,
            optional_players=optional_players,
        )

    def close(self) -> None:
        """Stops the loaders' threads and the worker processes."""
        self.loader.close()
        for loader in self.valid_loaders:
            loader.close()
        self._pool.close()


def check_reward(config: ConfigDict) -> None:
    """Checks a run that moves a policy of masks by a reward.

    A line says so if it starts from random masks.

    Raises:
        UserError: there is more than one score, so there is not one reward.
    """
    if len(score_names(config.score)) > 1:
        raise UserError(f"config.score={config.score}: give one score, the reward of the policy")
    if not config.init_from and jax.process_index() == 0:
        print(
            "config.init_from is empty: training starts from random masks, which it hardly "
            f"improves; give the folder of a supervised run, as configs/{config.recipe}.py shows"
        )


def require_scores(score: str, metric: str = "score") -> Callable[[Mapping[str, float]], None]:
    """Returns a check of a round's metrics that raises UserError if no utterance had a score.

    Args:
        score: the name of the score, for the message.
        metric: the name of its mean among the metrics.
    """

    def check(metrics: Mapping[str, float]) -> None:
        if not math.isfinite(metrics.get(metric, math.nan)):
            raise UserError(
                f"config.score={score}: no enhanced utterance of a whole round has a score, so "
                "there is nothing to learn from; check the data"
            )

    return check


@contextlib.contextmanager
def open_training(config: ConfigDict, denoiser: Denoiser, mesh: Mesh) -> Iterator[Training]:
    """Reads and checks the data of a run and starts its worker processes.

    The caller makes its recipe inside the block, and the recipe closes the returned `Training`. If
    the block raises, it is closed at once.

    Raises:
        UserError: a setting, a score or the data cannot be used; the message says which.
    """
    scores = tuple(dict.fromkeys((*score_names(config.score), *config.validation.scores)))
    with contextlib.ExitStack() as stack:
        pool = ScorePool(
            scores,
            config.front_end.sample_rate,
            config.scoring.workers,
            config.scoring.deadline_seconds,
        )
        stack.callback(pool.close)
        # Every process checks the data; one report is enough.
        print_report = print if jax.process_index() == 0 else lambda _: None
        corpora = open_corpora(config, print_report)
        pool.wait_until_ready()
        training = Training(config, denoiser, mesh, corpora, pool)
        stack.callback(training.close)
        yield training
        stack.pop_all()
