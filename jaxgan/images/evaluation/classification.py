"""The error of a classifier on held-out images."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan.core.state import Player, Players
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.trained_classifier import Classifier
from jaxgan.images.evaluation.validation import MeasurePlayers

Classify = Callable[[Player, jax.Array], jax.Array]
"""(the classifier, whose `params` are those to use; images as `batches.gather` gives them, float32
[B, ...]) -> one number for each class, float32 [B, classes], the highest for the answer; pure."""


def error_of(
    name: str, classify: Classify, valid: Images, batch_size: int, mesh: Mesh
) -> MeasurePlayers:
    """Returns a function that measures `eval/error`, the share of misclassified held-out images.

    The objective is the negative error. So the best checkpoint has the least error on the held-out
    data, which favours it a little; papers report the last one.

    Args:
        name: the name of the player that classifies; its running average is used if it has one.
        classify: see `Classify`.
        valid: the held-out data, all of them labelled.
        batch_size: see `Classifier`.
        mesh: the devices.
    """
    answer = Classifier(classify, mesh, batch_size)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        requested = answer(players[name], valid.values)

        def wait() -> tuple[dict[str, float], float]:
            error = float(np.mean(requested().argmax(axis=-1) != valid.labels))
            return {"eval/error": error}, -error

        return wait

    return start
