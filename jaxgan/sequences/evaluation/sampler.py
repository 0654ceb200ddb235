"""A trained generator of sequences, ready to use: nothing but its run's folder is needed."""

from dataclasses import dataclass

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
from jaxgan.sequences.networks.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws sequences.

    Attributes:
        model: of the generator.
        inference: the same, compiled.
        params: its parameters.
        vocabulary: the tokens as text; None where they are numbers.
    """

    model: LanguageModel
    inference: Inference
    params: PyTree
    vocabulary: Vocabulary | None

    def draw(self, count: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        """int32 [count, T]; another seed gives other sequences.

        Args:
            count: how many.
            seed: of the draw.
            temperature: the logits are divided by it: below 1 likelier sequences, above 1 rarer.
        """
        return self.inference.draw(self.params, jax.random.key(seed), count, temperature)

    def lines(self, count: int, seed: int = 0, temperature: float = 1.0) -> list[str]:
        """The same as text; where there is no vocabulary, as numbers with spaces between."""
        drawn = self.draw(count, seed, temperature)
        if self.vocabulary:
            return self.vocabulary.decode(drawn)
        return [" ".join(map(str, row)) for row in drawn.tolist()]


def load(workdir: epath.PathLike, checkpoint: str = "last") -> Sampler:
    """The generator that a run has trained.

    Args:
        workdir: the run's folder.
        checkpoint: "last", "best" (the least sum of both likelihoods), or the round of one that
            was kept.

    Raises:
        UserError: it is not the folder of a run that trains a generator of sequences, or it has no
            such checkpoint.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    if "roll_outs" not in config:
        raise UserError(
            f"{folder} holds a run of {config.get('recipe')!r}, which draws no sequences"
        )
    params = load_players(folder, checkpoint)["generator"].deployed
    text = None if config.data.kind == "oracle" else vocabularies.read(folder)
    size, embedding = params["embedding"].shape
    model = LanguageModel(size, embedding, len(params["recurrent_kernel"]))
    mesh = devices.make_mesh()
    length = text.length if text else config.data.length
    inference = Inference(model, length, text is not None, mesh)
    return Sampler(model, inference, devices.put_replicated(params, mesh), text)
