"""How device arrays get their scores: inside a compiled step, or beside it.

Inside (`score_in_step`): one host callback a shard; the step waits for its scores. Beside
(`submit_shards`, then `collect`): the host scores while the devices go on with other work.
Both score, on each process, the rows of its own devices, and give the same numbers.
"""

import concurrent.futures
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.scores.pool import ScorePool, Values

DATA = jax.sharding.PartitionSpec("data")

# Up to jax 0.11.1 a host callback on the CPU backend hands each operand above 100,000 bytes to a
# thread pool whose threads may all be waiting, in callbacks or for a collective: with several CPU
# devices, a deadlock that more threads (core.devices.guard_callbacks) make rarer but do not
# prevent. Smaller operands are copied on the spot, so waveforms cross in pieces below the limit.
PIECE_BYTES = 98_304


def score_in_step(
    pool: ScorePool,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    mesh: jax.sharding.Mesh,
    score: str | None = None,
) -> jax.Array:
    """Raw scores float32 [B], sharded over 'data', for use inside a jitted function.

    A constant under differentiation. On each device the callback sees that device's rows.

    Args:
        pool: captured by the compiled function; it must be open whenever that runs.
        reference: int16 or float32 [B, T]; int16 is half the traffic.
        estimate: likewise.
        lengths: int32 [B], samples; 0 marks a padding row, which scores NaN.
        mesh: of one axis, 'data', whose size divides B.
        score: the pool's score to compute; None: its first.

    Raises:
        ValueError: the pool has no such score, or the mesh has other axes (each row would be
            scored once for each of their devices).
    """
    if mesh.axis_names != ("data",):
        raise ValueError(f"scores need a mesh of the one axis 'data', not {mesh.axis_names}")
    if score is not None and score not in pool.scores:
        raise ValueError(f"this pool has {pool.scores}, not {score}")

    def on_host(
        reference_pieces: Sequence[jax.Array],
        estimate_pieces: Sequence[jax.Array],
        lengths: jax.Array,
    ) -> np.ndarray:
        # NumPy alone: an operation of jax's in here can wait for the thread it runs on.
        samples = np.asarray(lengths)
        rows = (len(samples), -1)
        return pool.score_batch(
            _joined(reference_pieces).reshape(rows),
            _joined(estimate_pieces).reshape(rows),
            samples,
            score,
        )

    def on_shard(reference: jax.Array, estimate: jax.Array, lengths: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct(lengths.shape, jnp.float32)
        return jax.pure_callback(on_host, shape, _pieces(reference), _pieces(estimate), lengths)

    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=DATA, out_specs=DATA)
    return sharded(*jax.lax.stop_gradient((reference, estimate, lengths)))


def _pieces(waveforms: jax.Array) -> list[jax.Array]:
    flat = waveforms.reshape(-1)
    size = PIECE_BYTES // flat.dtype.itemsize
    return [flat[start : start + size] for start in range(0, flat.size, size)]


def _joined(pieces: Sequence[jax.Array]) -> np.ndarray:
    return np.concatenate([np.asarray(piece) for piece in pieces])


class PendingScores:
    """Scores on their way: what `submit_shards` returns, and alone makes."""

    def __init__(
        self,
        lengths: jax.Array,
        scores: Sequence[str],
        rows: "concurrent.futures.Future[dict[str, list[concurrent.futures.Future[Values]]]]",
    ):
        self._lengths = lengths
        self._scores = tuple(scores)
        self._rows = rows

    def collect(self, score: str | None = None) -> jax.Array:
        """Raw scores float32 [B], placed as `lengths` was; blocks until all are there.

        Args:
            score: one of those that were asked for; None: the first.
        """
        name = self._scores[0] if score is None else score
        rows = self._rows.result()
        placed = []
        for shard in self._lengths.addressable_shards:
            values = [row.result()[name] for row in rows[str(shard.index)]]
            placed.append(jax.device_put(np.array(values, np.float32), shard.device))
        return jax.make_array_from_single_device_arrays(
            self._lengths.shape, self._lengths.sharding, placed
        )


def submit_shards(
    pool: ScorePool,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    scores: Sequence[str] | None = None,
) -> PendingScores:
    """Sends device arrays to the pool without waiting for the devices or for the scores.

    The copies to the host start as soon as the arrays are computed; a thread hands their rows to
    the pool. Each process sends the rows on its own devices, a replicated row once. The arrays
    must not be donated before `collect` has returned.

    Args:
        pool: where the scores are computed.
        reference: int16 or float32 [B, T], its rows placed as those of `lengths`.
        estimate: likewise.
        lengths: int32 [B], samples; 0 marks a padding row, which scores NaN.
        scores: some of the pool's; None: all of them.

    Raises:
        ValueError: the pool has no such score, or the arrays are not placed alike.
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
