"""Measures a generator by its samples: likelihoods both ways, BLEU, and diversity.

-log p per token of the samples under the oracle (`nll_oracle`) says nothing by itself: a generator
that repeats one likely sequence has the lowest. So it always comes with -log p per token of
held-out data under the generator (`nll_gen`), the number of distinct tokens, and Self-BLEU.
"""

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Evaluation, Media
from jaxgan.core.state import PyTree, RunState
from jaxgan.sequences.data.corpora import Corpus
from jaxgan.sequences.evaluation.bleu import References, mean_bleu, self_bleu
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import SequenceModel

SHOWN = 8
"""How many samples of a text TensorBoard shows after every validation."""


class Validation:
    """Draws from generators and measures them.

    Args:
        config: the config of the run.
        model: the language model of the generators.
        corpus: the data.
        mesh: the devices.

    Attributes:
        samples: how many sequences a validation draws.
        bounds: -log p per token under the oracle of its own held-out samples ("oracle") and of
            uniformly random tokens ("uniform"); empty without an oracle.
    """

    def __init__(
        self, config: ConfigDict, model: SequenceModel, corpus: Corpus, mesh: Mesh
    ) -> None:
        settings = config.validation
        self.samples = settings.samples
        self._corpus = corpus
        self._bleu_samples = settings.bleu_samples
        self._order = settings.bleu_order
        self._seed = config.seed
        self._generator = Inference(model, mesh)
        self.bounds: dict[str, float] = {}
        if corpus.oracle:
            network, self._oracle_params = corpus.oracle
            self._oracle = Inference(SequenceModel(network, model.length, model.ends), mesh)
            self.bounds = self._measure_bounds()
        self._references = References(corpus.lists(corpus.held_out), self._order)

    def evaluate(self, state: RunState, number: int) -> Evaluation:
        """Draws samples for round `number` and measures them."""
        params = state.players["generator"].deployed
        return self.measure(params, self.draw(params, number))

    def draw(self, params: PyTree, number: int) -> np.ndarray:
        """Returns the samples of round `number`, int32 [samples, T]."""
        key = jax.random.fold_in(jax.random.key(self._seed), number)
        return self._generator.draw(params, key, self.samples)

    def measure(self, params: PyTree, samples: np.ndarray) -> Evaluation:
        """Measures samples, int32 [n, T], that were drawn with these parameters.

        The objective of the evaluation is minus the sum of the likelihoods both ways.
        """
        corpus, metrics = self._corpus, {}
        if corpus.oracle:
            metrics["eval/nll_oracle"] = self.nll_oracle(samples)
        metrics["eval/nll_gen"] = self._generator.mean_nll(params, corpus.held_out)
        objective = -sum(metrics.values())
        metrics["eval/distinct"] = float(len(np.unique(samples)))
        lists = corpus.lists(samples)
        metrics["eval/unique"] = len(set(map(tuple, lists))) / len(lists)
        some = lists[: self._bleu_samples]
        bleu, own = mean_bleu(self._references, some), self_bleu(some, self._order)
        for order in range(2, self._order + 1):
            metrics[f"eval/bleu_{order}"] = bleu[order - 1]
            metrics[f"eval/self_bleu_{order}"] = own[order - 1]
        return Evaluation(metrics, objective, self._media(samples))

    def nll_oracle(self, samples: np.ndarray) -> float:
        """Returns -log p per token of samples, int32 [n, T], under the oracle."""
        return self._oracle.mean_nll(self._oracle_params, samples)

    def print_bounds(self) -> None:
        """Prints the numbers that `nll_oracle` has to be compared with, if there are any."""
        if self.bounds and jax.process_index() == 0:
            print(
                f"-log p per token under the oracle: {self.bounds['oracle']:.3f} of its own "
                f"samples, {self.bounds['uniform']:.3f} of uniformly random tokens"
            )

    def close(self) -> None:
        """Does nothing: there are no processes to stop."""

    def _media(self, samples: np.ndarray) -> dict[str, Media]:
        """Returns the first samples as text, if the tokens have a text."""
        if not self._corpus.vocabulary:
            return {}
        # Reporting imports matplotlib.
        from jaxgan.reporting import media

        return {"samples": media.text("\n".join(self._corpus.text_lines(samples[:SHOWN])))}

    def _measure_bounds(self) -> dict[str, float]:
        random = np.random.default_rng(self._corpus.size)
        shape = (self.samples, self._corpus.length)
        uniform = random.integers(0, self._corpus.size, shape, np.int32)
        return {
            "oracle": self.nll_oracle(self._corpus.held_out),
            "uniform": self.nll_oracle(uniform),
        }
