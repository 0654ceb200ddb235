"""How well clusters that were found without labels agree with classes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from scipy.optimize import linear_sum_assignment

from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import PyTree, RunState
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.trained_classifier import Classifier
from jaxgan.images.evaluation.validation import Evaluate


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


def validate_clustering(
    guess: Callable[[PyTree, jax.Array], Any], player: str, valid: Images, mesh: Mesh
) -> Evaluate:
    """Returns a validation that reports `eval/clustering_accuracy`; it has no objective.

    Args:
        guess: (variables, images [B, *shape]) -> a logit for each cluster [B, clusters], and
            anything else; pure.
        player: whose variables those are.
        valid: the held-out images.
        mesh: the devices.
    """
    classify = Classifier(guess, mesh)

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        requested = classify(state.players[player], valid.values)

        def wait() -> Evaluation:
            clusters = requested().logits.argmax(axis=-1)
            found = clustering_accuracy(clusters, valid.labels)
            return Evaluation({"eval/clustering_accuracy": found}, math.nan)

        return wait

    return evaluate
