"""How well a discriminator predicts the scores that it has learned."""

from collections.abc import Sequence

import numpy as np


def surrogate_metrics(
    names: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
    raw: np.ndarray,
    filled: np.ndarray,
) -> dict[str, float]:
    """Returns the metrics of D's predictions for enhanced speech, and of the scores themselves.

    Undefined metrics are left out. With several scores, the name of each metric ends in the name of
    its score.

    Args:
        names: the names of S scores.
        labels: float32 [n, S], the scores mapped to [0, 1]; NaN for an utterance without one.
        predictions: float32 [n, S].
        raw: float32 [n, S], the scores in their own units.
        filled: bool [n], false for padding rows.

    Returns:
        `label` and `score`, the means of labels and raw scores; `d_mae`, the mean absolute error;
        `d_correlation`, Pearson's coefficient; and `unscorable`, how many scores are missing.
    """
    metrics: dict[str, float] = {}
    for number, name in enumerate(names):
        suffix = f"_{name}" if len(names) > 1 else ""
        known = np.isfinite(labels[:, number])
        label, prediction = labels[known, number], predictions[known, number]
        if not known.any():
            continue
        metrics[f"label{suffix}"] = float(label.mean())
        metrics[f"score{suffix}"] = float(raw[known, number].mean())
        metrics[f"d_mae{suffix}"] = float(np.abs(prediction - label).mean())
        if len(label) > 1 and np.std(label) > 0 and np.std(prediction) > 0:
            metrics[f"d_correlation{suffix}"] = float(np.corrcoef(label, prediction)[0, 1])
    missing = filled[:, None] & ~np.isfinite(labels)
    return metrics | {"unscorable": float(np.count_nonzero(missing))}
