"""How well clusters that were found without labels agree with classes."""

import math
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from scipy.optimize import linear_sum_assignment

from jaxgan.core.state import Player, Players
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.trained_classifier import Classifier
from jaxgan.images.evaluation.validation import MeasurePlayers


def clustering_accuracy(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of samples in the class of their cluster, under the best pairing.

    Each cluster is paired with at most one class and each class with at most one cluster, so that
    the share is largest (Xie, Girshick and Farhadi 2016, equation 10).

    Args:
        clusters: int [n], from 0.
        labels: int [n], from 0; samples without a label (-1) do not count.

    Returns:
        From 0 to 1; NaN if no sample has a label.
    """
    known = labels >= 0
    clusters, labels = clusters[known], labels[known]
    if not len(labels):
        return math.nan
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def measure_clustering(
    guess: Callable[[Player, jax.Array], jax.Array], name: str, valid: Images, mesh: Mesh
) -> MeasurePlayers:
    """Returns a function that measures `eval/clustering_accuracy`; it has no objective.

    Args:
        guess: (the player, images float32 [B, *shape]) -> a logit for each cluster [B, clusters];
            pure.
        name: the name of the player.
        valid: the held-out images.
        mesh: the devices.
    """
    answer = Classifier(guess, mesh)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        requested = answer(players[name], valid.values)

        def wait() -> tuple[dict[str, float], float]:
            found = clustering_accuracy(requested().argmax(axis=-1), valid.labels)
            return {"eval/clustering_accuracy": found}, math.nan

        return wait

    return start
