"""True scores of the noisy speech, each computed once where it cannot change."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.scores.scorer import Collect, Scorer
from jaxgan.speech.data.batching import Batch


class NoisyScores:
    """Scores of what a corpus gives as noisy.

    Args:
        scorer: computes them.
        mesh: the devices that the batches lie on.
        fetch: brings arrays on the devices whole to the host.
        fixed: the pairs of the corpus never change, so that a score holds for the whole run.
    """

    def __init__(
        self, scorer: Scorer, mesh: Mesh, fetch: Callable[[Any], Any], fixed: bool
    ) -> None:
        self._scorer = scorer
        self._mesh = mesh
        self._fetch = fetch
        self._fixed = fixed
        self._known: dict[int, float] = {}

    def request(self, batches: Sequence[Batch], index: Sequence[np.ndarray]) -> list[Collect]:
        """Starts to score what is not known yet.

        Args:
            batches: on the devices.
            index: int32 [B] of each batch, on the host; -1 in rows that only fill.
        """
        pending = []
        for batch, numbers in zip(batches, index, strict=True):
            known = np.array([number in self._known for number in numbers.tolist()])
            # A length of 0 is a row that is not scored.
            lengths = devices.put_sharded(
                np.where(known, np.int32(0), self._fetch(batch.lengths)), self._mesh
            )
            pending.append(self._scorer(batch.clean, batch.noisy, lengths))
        return pending

    def collect(self, pending: Sequence[Collect], index: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Raw scores float32 [B] of each batch; NaN in rows that only fill or have no score."""
        raw = self._fetch([collect() for collect in pending])
        result = []
        for fresh, numbers in zip(raw, index, strict=True):
            old = [self._known.get(number, np.nan) for number in numbers.tolist()]
            values = np.where(np.isfinite(old), np.array(old, np.float32), fresh)
            if self._fixed:
                items = zip(numbers.tolist(), values.tolist(), strict=True)
                self._known.update({number: value for number, value in items if number >= 0})
            result.append(values)
        return result
