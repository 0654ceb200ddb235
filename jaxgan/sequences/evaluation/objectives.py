"""Objectives: the ratings of sequences, and what they say about a generator's samples.

An objective sees text, or an oracle's tokens as a tuple of numbers, and each different sequence
once; see `jaxgan.scores.objectives`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import PyTree, RunState
from jaxgan.scores.objectives import ObjectivePool
from jaxgan.sequences.data.corpora import MOLECULES, MUSIC, Corpus
from jaxgan.sequences.data.music import diversity as tune_diversity
from jaxgan.sequences.evaluation.bleu import References
from jaxgan.sequences.evaluation.validation import Validation
from jaxgan.sequences.networks.language_model import SequenceModel

BLEU = "bleu"
OBJECTIVES = {
    "tonality": f"{MUSIC}:tonality",
    "melodicity": f"{MUSIC}:melodicity",
    "steps": f"{MUSIC}:steps",
    "druglikeness": f"{MOLECULES}:druglikeness",
    "solubility": f"{MOLECULES}:solubility",
    "synthesizability": f"{MOLECULES}:synthesizability",
    "validity": f"{MOLECULES}:validity",
}
"""Import paths of the built-in objectives by name; `BLEU` is another one."""
BLEU_ORDER = 3
BLEU_REFERENCES = 0.4  # share of the data, as in the code of SeqGAN's authors
COMPARED = 200
"""How many samples `eval/diversity` compares in pairs."""


class Ratings:
    """Rates sequences of tokens by the objective of a config; starts its worker processes.

    Args:
        config: the config of the run.
        corpus: the data.

    Raises:
        UserError: there is no such objective, or it cannot be loaded.
    """

    def __init__(self, config: ConfigDict, corpus: Corpus) -> None:
        self._corpus = corpus
        self._pool: ObjectivePool | None = None
        self._rate: ObjectivePool | _Bleu
        if config.objective == BLEU:
            self._rate = _Bleu(corpus, config.seed)
            return
        path = OBJECTIVES.get(config.objective, config.objective)
        if "." not in path and ":" not in path:
            raise UserError(
                f"config.objective={config.objective!r}: give one of "
                f"{', '.join([BLEU, *OBJECTIVES])}, or the import path of your own, such as "
                "my_module:reward_fn"
            )
        scoring = config.scoring
        self._pool = ObjectivePool(path, scoring.workers, scoring.deadline_seconds)
        self._rate = self._pool

    @property
    def calls(self) -> int:
        """How many different sequences the objective has rated so far."""
        return self._rate.calls

    def __call__(self, sequences: np.ndarray) -> np.ndarray:
        """Returns the ratings float32 [n] of sequences int32 [n, T]; NaN if there is none."""
        different, places = np.unique(sequences, axis=0, return_inverse=True)
        return self._rate(self.items(different))[places.reshape(-1)]

    def items(self, sequences: np.ndarray) -> list[Any]:
        """Returns sequences, int32 [n, T], in the form in which the objective sees them."""
        if self._corpus.vocabulary and self._pool:
            return self._corpus.text_lines(sequences)
        return [tuple(tokens) for tokens in self._corpus.lists(sequences)]

    def close(self) -> None:
        """Stops the worker processes."""
        if self._pool:
            self._pool.close()


class _Bleu:
    """Computes BLEU-3 against a random share of the data, in this process."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        count = max(round(BLEU_REFERENCES * len(corpus.train)), 1)
        chosen = np.random.default_rng(seed).permutation(len(corpus.train))[:count]
        self._references = References(corpus.lists(corpus.train[chosen]), BLEU_ORDER)
        self.calls = 0

    def __call__(self, items: Sequence[Any]) -> np.ndarray:
        self.calls += len(items)
        return np.array([self._references.bleu(item)[-1] for item in items], np.float32)


class ObjectiveValidation:
    """Measures generators as `Validation` does, and by an objective.

    Args:
        config: the config of the run.
        model: the language model of the generators.
        corpus: the data.
        mesh: the devices.
        ratings: the objective; closed with this object.

    Attributes:
        ratings: the same.
    """

    def __init__(
        self,
        config: ConfigDict,
        model: SequenceModel,
        corpus: Corpus,
        mesh: Mesh,
        ratings: Ratings,
    ) -> None:
        self.ratings = ratings
        self._corpus = corpus
        self._validation = Validation(config, model, corpus, mesh)
        self.draw = self._validation.draw
        self.print_bounds = self._validation.print_bounds
        self._canonical: Callable[[str], str] = lambda line: line
        self._diversity = tune_diversity
        if config.data.unit == "smiles":
            self._canonical = import_path(f"{MOLECULES}:canonical")
            self._diversity = import_path(f"{MOLECULES}:diversity")
        self._known = self._different(corpus.train)

    def evaluate(self, state: RunState, number: int) -> Evaluation:
        """Draws samples for round `number` and measures them."""
        params = state.players["generator"].deployed
        return self.measure(params, self.draw(params, number))

    def measure(self, params: PyTree, samples: np.ndarray) -> Evaluation:
        """Measures samples, int32 [n, T], that were drawn with these parameters.

        The objective of the evaluation is `eval/objective`: likelihoods say little about a
        generator that is trained to differ from its data.
        """
        found = self._validation.measure(params, samples)
        rated = self.measure_ratings(samples)
        return Evaluation({**rated, **found.metrics}, rated["eval/objective"], found.media)

    def measure_ratings(self, samples: np.ndarray) -> dict[str, float]:
        """Returns what the ratings say about samples, int32 [n, T].

        The mean rating over all samples (0 for those without one) and over those that have one; the
        share that has one ("validity"), how many of these differ, and how many of the different
        ones are not in the data; their diversity; and how many the objective has rated in this
        call, which the count of training excludes.
        """
        before = self.ratings.calls
        ratings = self.ratings(samples)
        valid = np.isfinite(ratings)
        different = self._different(samples[valid])
        metrics = {
            "eval/objective": float(np.nan_to_num(ratings).mean()),
            "eval/objective_valid": float(ratings[valid].mean()) if valid.any() else math.nan,
            "eval/validity": float(valid.mean()),
            "eval/uniqueness": len(different) / max(int(valid.sum()), 1),
            "eval/novelty": len(different - self._known) / max(len(different), 1),
            "eval/objective_calls": float(self.ratings.calls - before),
        }
        if self._corpus.vocabulary:
            metrics["eval/diversity"] = self._diversity(
                self._corpus.text_lines(samples[valid][:COMPARED])
            )
        return metrics

    def _different(self, sequences: np.ndarray) -> set[Any]:
        """Returns the canonical names of the different sequences among int32 [n, T]."""
        if self._corpus.vocabulary:
            return {self._canonical(line) for line in self._corpus.text_lines(sequences)}
        return {tuple(tokens) for tokens in self._corpus.lists(sequences)}

    def close(self) -> None:
        """Stops the worker processes of the objective."""
        self.ratings.close()
