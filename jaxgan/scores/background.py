"""Scores in parallel with a step: the host scores while the devices continue with other work.

Every process scores the rows of its own devices.
"""

import concurrent.futures
from collections.abc import Sequence

import jax
import numpy as np

from jaxgan.scores.pool import ScorePool, Values


class PendingScores:
    """Scores that are being computed; `submit_shards` makes it."""

    def __init__(
        self,
        lengths: jax.Array,
        scores: Sequence[str],
        rows: "concurrent.futures.Future[dict[str, list[concurrent.futures.Future[Values]]]]",
    ):
        self._lengths = lengths
        self._scores = tuple(scores)
        self._rows = rows

    def collect(self) -> jax.Array:
        """Waits for all scores.

        Returns:
            Raw scores float32 [B, S] in the order of the request, with the rows placed like
            `lengths`; NaN for a pair without a score.
        """
        rows = self._rows.result()
        placed = []
        for shard in self._lengths.addressable_shards:
            values = [
                [row.result()[name] for name in self._scores] for row in rows[str(shard.index)]
            ]
            placed.append(jax.device_put(np.array(values, np.float32), shard.device))
        return jax.make_array_from_single_device_arrays(
            (*self._lengths.shape, len(self._scores)), self._lengths.sharding, placed
        )


def submit_shards(
    pool: ScorePool,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    scores: Sequence[str] | None = None,
) -> PendingScores:
    """Sends device arrays to the pool without waiting for the devices or for the scores.

    The copies to the host start as soon as the arrays are computed, and a thread passes their rows
    to the pool. Each process sends the rows on its own devices, a replicated row once. The arrays
    must not be donated before `collect` has returned.

    Args:
        pool: computes the scores.
        reference: int16 or float32 [B, T], with the rows placed like those of `lengths`.
        estimate: like `reference`.
        lengths: int32 [B], samples; 0 marks a padding row, whose scores are NaN.
        scores: S of the pool's scores; None: all of them.

    Raises:
        ValueError: the pool lacks a score, or the arrays are placed differently.
    """
    wanted = pool.scores if scores is None else tuple(scores)
    if not set(wanted) <= set(pool.scores):
        raise ValueError(f"this pool has {pool.scores}, not {wanted}")
    shards = {}
    for triple in zip(
        *(array.addressable_shards for array in (reference, estimate, lengths)), strict=True
    ):
        rows = {str(shard.index[0]) for shard in triple}
        if len(rows) > 1 or len({shard.device for shard in triple}) > 1:
            raise ValueError("reference, estimate and lengths must be split over devices alike")
        shards[str(triple[2].index)] = tuple(shard.data for shard in triple)
    for arrays in shards.values():
        for array in arrays:
            array.copy_to_host_async()

    def read() -> "dict[str, list[concurrent.futures.Future[Values]]]":
        return {index: _submit_rows(pool, arrays, wanted) for index, arrays in shards.items()}

    reader = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="jaxgan-score-reader")
    rows_by_shard = reader.submit(read)
    reader.shutdown(wait=False)
    return PendingScores(lengths, wanted, rows_by_shard)


def _submit_rows(
    pool: ScorePool, arrays: tuple[jax.Array, jax.Array, jax.Array], scores: tuple[str, ...]
) -> "list[concurrent.futures.Future[Values]]":
    reference, estimate, lengths = jax.device_get(arrays)
    return pool.submit_batch(reference, estimate, lengths, scores)
