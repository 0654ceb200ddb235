"""Labels of the noisy speech, which are computed once if the pairs of the corpus never change."""

from collections.abc import Sequence

import numpy as np

from jaxgan.speech.data.batching import Rows


class KnownLabels:
    """Remembers the labels of noisy utterances: their scores, mapped to [0, 1].

    Args:
        utterances: how many the corpus has.
        scores: S, how many labels an utterance has.
        fixed: whether the pairs of the corpus never change. Otherwise nothing is remembered.
    """

    def __init__(self, utterances: int, scores: int, fixed: bool) -> None:
        self._labels = np.full((utterances, scores), np.nan, np.float32)
        self._known = np.zeros(utterances, bool)
        self._fixed = fixed

    def find(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Returns float32 [B, S], labels or NaN, and bool [B], whether they are known.

        An utterance without a score is known as well: its labels stay NaN.
        """
        known = (rows.index >= 0) & self._known[rows.index]
        return np.where(known[:, None], self._labels[rows.index], np.float32(np.nan)), known

    def remember(self, batches: Sequence[Rows], labels: Sequence[np.ndarray]) -> None:
        """Stores the labels, float32 [B, S] of each batch."""
        if not self._fixed:
            return
        for rows, found in zip(batches, labels, strict=True):
            filled = rows.index >= 0
            self._labels[rows.index[filled]] = found[filled]
            self._known[rows.index[filled]] = True
