"""Draws from a trained generator of sequences, which needs nothing but its run's folder."""

import dataclasses

import jax
import numpy as np
from etils import epath

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.players import load_players
from jaxgan.core.state import PyTree
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.networks.inference import Inference
from jaxgan.sequences.networks.language_model import LanguageModel, SequenceModel
from jaxgan.sequences.settings import CHOICES, OBJECTIVE_RANGES

LONGEST = 100_000
"""The most tokens of a sequence: a damaged file may state any number, and memory is taken for it.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """Draws sequences.

    Attributes:
        model: the language model of the generator.
        inference: its compiled programs.
        params: its parameters.
        vocabulary: the tokens as text; None if they are only numbers.
    """

    model: SequenceModel
    inference: Inference
    params: PyTree
    vocabulary: Vocabulary | None

    def draw(self, count: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        """Returns sequences, int32 [count, T]; the same for the same arguments.

        Args:
            count: how many.
            seed: the seed of the draw.
            temperature: divides the logits: below 1 the sequences are more likely, above 1 rarer.
        """
        return self.inference.draw(self.params, jax.random.key(seed), count, temperature)

    def lines(self, sequences: np.ndarray) -> list[str]:
        """Returns sequences int32 [n, T] as text, or without a vocabulary as numbers."""
        if self.vocabulary:
            return self.vocabulary.decode(sequences)
        return [" ".join(map(str, row)) for row in sequences.tolist()]


def load(workdir: epath.PathLike, checkpoint: str = "last") -> Sampler:
    """Returns the generator that a run has trained.

    Args:
        workdir: the folder of a run of a system of this package.
        checkpoint: "last", "best", or the round of one that was kept.

    Raises:
        UserError: the run has no such checkpoint, or its files cannot be read.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    configs.check_values(config, CHOICES, OBJECTIVE_RANGES)
    params = load_players(folder, checkpoint)["generator"].deployed
    vocabulary = None if config.data.kind == "oracle" else vocabularies.read(folder)
    length = vocabulary.length if vocabulary else config.data.length
    if not 0 < length <= LONGEST:
        raise UserError(f"{folder}: its sequences have {length} tokens; at most {LONGEST} are read")
    with configs.fits(folder):
        size, embedding = params["embedding"].shape
        if not (vocabulary or config.data.oracle) and config.data.vocabulary != size:
            raise ValueError(f"data.vocabulary={config.data.vocabulary}, and {size} were trained")
        network = LanguageModel(size, embedding, len(params["recurrent_kernel"]))
        model = SequenceModel(network, length, vocabulary is not None)
    mesh = devices.make_mesh()
    params = devices.put_replicated(params, mesh)
    return Sampler(model, Inference(model, mesh), params, vocabulary)
