"""ORGAN (Guimaraes et al. 2017): SeqGAN whose reward is half the discriminator's, half a user's.

Rounds are SeqGAN's. In an adversarial one every completed sequence has a rating by a black-box
objective beside D's judgement, and the reward of a token is the mean over its completions of

    share * D + (1 - share) * objective * penalty

where a sequence that stands n times in its batch has the penalty (different sequences / all) / n.
A share of 0 is naive reinforcement learning, of 1 SeqGAN. With BLEU against the data as objective
and a share of 0 it is the PG-BLEU of SeqGAN's paper.

The objective sees text (or an oracle's tokens as a tuple of numbers), each different sequence once;
see `jaxgan.scores.objectives`. What has no rating counts as 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import RunState
from jaxgan.scores.objectives import ObjectivePool
from jaxgan.scores.registry import import_path
from jaxgan.sequences.data.corpora import Corpus, open_corpus
from jaxgan.sequences.data.music import diversity as pair_diversity
from jaxgan.sequences.data.vocabulary import until_end
from jaxgan.sequences.evaluation.bleu import References
from jaxgan.sequences.systems.checks import check, check_organ
from jaxgan.sequences.systems.policy import Explored, explore
from jaxgan.sequences.systems.seqgan import SeqGAN, tell_bounds

MUSIC, MOLECULES = "jaxgan.sequences.data.music", "jaxgan.sequences.data.molecules"
OBJECTIVES = {
    "tonality": f"{MUSIC}:tonality",
    "melodicity": f"{MUSIC}:melodicity",
    "steps": f"{MUSIC}:steps",
    "druglikeness": f"{MOLECULES}:druglikeness",
    "solubility": f"{MOLECULES}:solubility",
    "synthesizability": f"{MOLECULES}:synthesizability",
    "validity": f"{MOLECULES}:validity",
}
BLEU_ORDER = 3
BLEU_REFERENCES = 0.4  # of the data: the authors of SeqGAN
COMPARED = 200
"""Samples whose pairs tell the diversity."""


class Ratings:
    """Objectives of sequences of tokens.

    Args:
        config: of the run.
        corpus: its data.

    Attributes:
        calls: sequences that the objective was asked for.
    """

    def __init__(self, config: ConfigDict, corpus: Corpus) -> None:
        self._corpus = corpus
        self._pool: ObjectivePool | None = None
        self._rate: Callable[[Sequence[Any]], np.ndarray]
        if config.objective == "bleu":
            self._bleu = _Bleu(corpus, config.seed)
            self._rate = self._bleu
        else:
            path = OBJECTIVES.get(config.objective, config.objective)
            if "." not in path and ":" not in path:
                raise UserError(
                    f"config.objective={config.objective!r}: give one of "
                    f"{', '.join(['bleu', *OBJECTIVES])}, or the import path of your own, such as "
                    "my_module:reward_fn"
                )
            scoring = config.scoring
            self._pool = ObjectivePool(path, scoring.workers, scoring.deadline_seconds)
            self._rate = self._pool

    @property
    def calls(self) -> int:
        """Items that the objective was asked for so far, each once."""
        return self._pool.calls if self._pool else self._bleu.calls

    def __call__(self, sequences: np.ndarray) -> np.ndarray:
        """float32 [n] of sequences int32 [n, T]; NaN where there is none."""
        different, places = np.unique(sequences, axis=0, return_inverse=True)
        return self._rate(self.items(different))[places.reshape(-1)]

    def items(self, sequences: np.ndarray) -> list[Any]:
        """What the objective sees of sequences int32 [n, T]."""
        text = self._corpus.vocabulary
        if text and self._pool:
            return text.decode(sequences)
        cut = until_end if self._corpus.ends else list
        return [tuple(cut(row)) for row in sequences.tolist()]

    def close(self) -> None:
        """Ends the worker processes."""
        if self._pool:
            self._pool.close()


class _Bleu:
    """BLEU-3 against a random share of the data, in this process."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        count = max(round(BLEU_REFERENCES * len(corpus.train)), 1)
        chosen = np.random.default_rng(seed).permutation(len(corpus.train))[:count]
        cut = until_end if corpus.ends else list
        rows = [cut(row) for row in corpus.train[chosen].tolist()]
        self._references = References(rows, BLEU_ORDER)
        self.calls = 0

    def __call__(self, items: Sequence[Any]) -> np.ndarray:
        self.calls += len(items)
        return np.array([self._references.bleu(item)[-1] for item in items], np.float32)


def repetition_penalty(sequences: np.ndarray) -> np.ndarray:
    """(different sequences / all) / (copies of each): float32 [B, K] of K batches [B, K, T]."""
    batch, count, length = sequences.shape
    _, names = np.unique(sequences.reshape(-1, length), axis=0, return_inverse=True)
    names = names.reshape(batch, count)
    penalty = np.empty((batch, count), np.float32)
    for column in range(count):
        found, places, copies = np.unique(names[:, column], return_inverse=True, return_counts=True)
        penalty[:, column] = len(found) / batch / copies[places]
    return penalty


class Organ(SeqGAN):
    """The recipe.

    Args:
        config: see configs/organ.py.
        mesh: the devices.
        corpus: the data.
        ratings: the objective.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, corpus: Corpus, ratings: Ratings) -> None:
        super().__init__(config, mesh, corpus)
        self.ratings = ratings
        known = corpus.train if corpus.vocabulary is None else ratings.items(corpus.train)
        self.known = {_name(item, self.canonical) for item in known}

    @property
    def canonical(self) -> Callable[[str], str] | None:
        """What gives one name to all ways to write the same; None where there is one way alone."""
        if self.config.data.unit != "smiles":
            return None
        found: Callable[[str], str] = import_path(f"{MOLECULES}:canonical")
        return found

    def rewards(self, explored: Explored) -> tuple[jax.Array, dict[str, float]]:
        """The reward of every token, float32 [B, T], and the objective's mean and calls."""
        share, before = self.config.share, self.ratings.calls
        if share == 1:
            return super().rewards(explored)
        tokens, completions, values = self.fetch(tuple(explored))
        batch, length = tokens.shape
        everything = np.concatenate(
            [completions.reshape(batch, -1, length), tokens[:, None]], axis=1
        )
        ratings = self.ratings(everything.reshape(-1, length)).reshape(batch, -1)
        if not np.isfinite(ratings).any():
            raise UserError(
                f"config.objective={self.config.objective}: not one of {ratings.size} sequences "
                "has a value, so there is nothing to learn; try it on a few lines of the data"
            )
        rated = np.nan_to_num(ratings, nan=0.0)
        if self.config.repetition_penalty:
            rated = rated * repetition_penalty(everything)
        means = rated[:, :-1].reshape(batch, length - 1, -1).mean(axis=-1)
        objective = np.concatenate([means, rated[:, -1:]], axis=1)
        rewards = (share * values + (1 - share) * objective).astype(np.float32)
        told = {
            "objective": float(np.nan_to_num(ratings[:, -1]).mean()),
            "objective_calls": float(self.ratings.calls - before),
        }
        return devices.put_sharded(rewards, self.mesh), told

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The metrics of `Validation`, and of the objective."""
        params = state.players["generator"].deployed
        samples = self.validation.draw(params, number)
        found = self.validation.measure(params, samples)
        own = self.measure(samples)
        # Likelihoods say little about a generator that shall not be like its data.
        evaluation = Evaluation({**own, **found.metrics}, own["eval/objective"], found.media)
        return lambda: evaluation

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        """What samples int32 [n, T] are worth.

        The mean objective over all (0 where there is none) and over those that have one; how many
        have one, how many of those differ, and how many of these the data do not have; diversity;
        and for how many the objective was asked here, which training does not count.
        """
        before = self.ratings.calls
        ratings = self.ratings(samples)
        valid = np.isfinite(ratings)
        items = self.ratings.items(samples[valid])
        different = {_name(item, self.canonical) for item in items}
        metrics = {
            "eval/objective": float(np.nan_to_num(ratings).mean()),
            "eval/objective_valid": float(ratings[valid].mean()) if valid.any() else math.nan,
            "eval/validity": float(valid.mean()),
            "eval/uniqueness": len(different) / max(len(items), 1),
            "eval/novelty": len(different - self.known) / max(len(different), 1),
            "eval/objective_calls": float(self.ratings.calls - before),
        }
        if self.corpus.vocabulary:
            few = items[:COMPARED]
            measure = pair_diversity
            if self.canonical:
                measure = import_path(f"{MOLECULES}:diversity")
            metrics["eval/diversity"] = measure(few)
        return metrics

    def look(self, state: RunState, rows: jax.Array) -> Explored:
        """`explore`, all of it."""
        return explore(state, rows, system=self.system)

    def fetch(self, arrays: Any) -> Any:
        """Rows of a batch, whole, in the memory of every host."""
        return jax.device_get(jax.tree.map(self.gather, arrays))

    def compile(self) -> None:
        """As SeqGAN's; and what brings the rows of several processes together."""
        super().compile()
        self.gather = jax.jit(lambda a: a, out_shardings=devices.replicated(self.mesh))

    def close(self) -> None:
        """Ends the worker processes."""
        self.ratings.close()


def _name(item: Any, canonical: Callable[[str], str] | None) -> Any:
    if canonical:
        return canonical(item)
    return item if isinstance(item, str) else tuple(item)


def make(config: ConfigDict, mesh: Mesh) -> Organ:
    """The recipe of a config: its data read, its worker processes started.

    Raises:
        UserError: a setting, the objective or the data cannot be used; the message says which.
    """
    check_organ(config)
    if config.share == 0:
        # D is not asked, so nothing is spent on its judgement.
        config = config.copy_and_resolve_references()
        config.judge = "constant"
    check(config, mesh)
    corpus = open_corpus(config, mesh)
    ratings = Ratings(config, corpus)
    try:
        recipe = Organ(config, mesh, corpus, ratings)
    except BaseException:
        ratings.close()
        raise
    tell_bounds(recipe.validation.bounds)
    return recipe
