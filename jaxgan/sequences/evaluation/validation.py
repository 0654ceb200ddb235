"""What a generator's samples are worth: likelihoods both ways, BLEU, and how much they differ.

-log p per token of the samples under the oracle (`nll_oracle`) alone says nothing: a generator that
repeats one likely sequence has the lowest. So it is never told without -log p per token of held-out
data under the generator (`nll_gen`), the number of distinct tokens, and Self-BLEU.
"""

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import PyTree, RunState
from jaxgan.sequences.data.corpora import Corpus
from jaxgan.sequences.data.vocabulary import until_end
from jaxgan.sequences.evaluation.bleu import References, mean_bleu, self_bleu
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel

SHOWN = 8
"""Samples of a text that TensorBoard shows after every validation."""


class Validation:
    """Measures generators.

    Args:
        config: of the run.
        model: of the generator.
        corpus: its data.
        mesh: the devices.

    Attributes:
        bounds: -log p per token under the oracle of its own samples and of uniformly random tokens,
            and the oracle's of the held-out data; empty where there is no oracle.
    """

    def __init__(
        self, config: ConfigDict, model: LanguageModel, corpus: Corpus, mesh: Mesh
    ) -> None:
        settings = config.validation
        self._corpus = corpus
        self._samples = settings.samples
        self._bleu_samples = settings.bleu_samples
        self._order = settings.bleu_order
        self._seed = config.seed
        length = corpus.train.shape[1]
        self._generator = Inference(model, length, corpus.ends, mesh)
        self.bounds: dict[str, float] = {}
        if corpus.oracle:
            oracle_model, self._oracle = corpus.oracle
            self._judge = Inference(oracle_model, length, corpus.ends, mesh)
            self.bounds = self._measure_bounds()
        self._references = References(self.lists(corpus.held_out), self._order)

    def __call__(self, state: RunState, number: int) -> Evaluation:
        """The metrics of a round. The objective is minus the sum of the likelihoods both ways."""
        params = state.players["generator"].deployed
        return self.measure(params, self.draw(params, number))

    def draw(self, params: PyTree, number: int, count: int = 0) -> np.ndarray:
        """Samples int32 [count, T] of a round, by default as many as validation takes."""
        key = jax.random.fold_in(jax.random.key(self._seed), number)
        return self._generator.draw(params, key, count or self._samples)

    def measure(self, params: PyTree, samples: np.ndarray) -> Evaluation:
        """The metrics of samples int32 [n, T] drawn with these parameters."""
        corpus, metrics = self._corpus, {}
        if corpus.oracle:
            metrics["eval/nll_oracle"] = self.nll_oracle(samples)
        metrics["eval/nll_gen"] = self._generator.mean_nll(params, corpus.held_out, corpus.ends)
        objective = -sum(metrics.values())
        metrics["eval/distinct"] = float(len(np.unique(samples)))
        lists = self.lists(samples)
        metrics["eval/unique"] = len(set(map(tuple, lists))) / len(lists)
        some = lists[: self._bleu_samples]
        bleu, own = mean_bleu(self._references, some), self_bleu(some, self._order)
        for order in range(2, self._order + 1):
            metrics[f"eval/bleu_{order}"] = bleu[order - 1]
            metrics[f"eval/self_bleu_{order}"] = own[order - 1]
        return Evaluation(metrics, objective, self.shown(samples))

    def shown(self, samples: np.ndarray) -> dict[str, str]:
        """The first samples as text; nothing where tokens are mere numbers."""
        text = self._corpus.vocabulary
        return {"samples": "\n".join(text.decode(samples[:SHOWN]))} if text else {}

    def nll_oracle(self, samples: np.ndarray) -> float:
        """-log p per token of samples int32 [n, T] under the oracle."""
        return self._judge.mean_nll(self._oracle, samples, self._corpus.ends)

    def lists(self, sequences: np.ndarray) -> list[list[int]]:
        """Sequences int32 [n, T] as lists of tokens, without their ends."""
        cut = until_end if self._corpus.ends else list
        return [cut(row.tolist()) for row in sequences]

    def _measure_bounds(self) -> dict[str, float]:
        random = np.random.default_rng(self._corpus.size)
        shape = (self._samples, self._corpus.train.shape[1])
        uniform = random.integers(0, self._corpus.size, shape, np.int32)
        return {
            "oracle": self.nll_oracle(self._corpus.held_out),
            "uniform": self.nll_oracle(uniform),
        }
