"""Scores inside a compiled step: a host callback that the step waits for.

On every process the callback scores the rows of that process's own devices.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.scores.pool import ScorePool

Map = Callable[[np.ndarray], np.ndarray]
ROWS = jax.sharding.PartitionSpec("data")
CALLBACK_SECONDS = 30.0
"""The time limit for one callback. XLA ends a program on CPU devices after 40 s in which some of
them wait in a collective for another one that is still in a callback."""
PIECE_BYTES = 98_304
"""Waveforms reach the host in pieces of this size. Up to jax 0.11.1 a callback on the CPU backend
copies operands of more than 100,000 bytes on threads that callbacks and collectives of other
simulated devices may all be blocking, which is a deadlock; smaller operands are copied at once."""


def score_in_step(
    pool: ScorePool,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    mesh: jax.sharding.Mesh,
    scores: Sequence[str],
    maps: Sequence[Map],
) -> tuple[jax.Array, jax.Array]:
    """Returns scores for use inside a jitted function; constants under differentiation.

    Args:
        pool: captured by the compiled function, so it must be open whenever that runs. A row that
            is not scored within `CALLBACK_SECONDS` is NaN.
        reference: int16 or float32 [B, T]; int16 needs half the transfer.
        estimate: like `reference`.
        lengths: int32 [B], samples; 0 marks a padding row, whose scores are NaN.
        mesh: has the one axis 'data', whose size divides B.
        scores: S of the pool's scores.
        maps: one for each score, raw float32 [B] -> [B]; they run on the host, in NumPy.

    Returns:
        The raw scores and the mapped ones, float32 [B, S] each, NaN for a pair without a score,
        sharded over 'data'.

    Raises:
        ValueError: the pool lacks a score, or the mesh has other axes (which would score each row
            once for each of their devices).
    """
    if mesh.axis_names != ("data",):
        raise ValueError(f"scores need a mesh of the one axis 'data', not {mesh.axis_names}")
    if not set(scores) <= set(pool.scores):
        raise ValueError(f"this pool has {pool.scores}, not {scores}")

    def on_host(
        reference_pieces: Sequence[jax.Array],
        estimate_pieces: Sequence[jax.Array],
        lengths: jax.Array,
    ) -> tuple[np.ndarray, np.ndarray]:
        # Only NumPy: an operation of jax's may wait for the thread that this function runs on.
        samples = np.asarray(lengths)
        rows = (len(samples), -1)
        raw = pool.score_batch(
            _joined(reference_pieces).reshape(rows),
            _joined(estimate_pieces).reshape(rows),
            samples,
            scores,
            CALLBACK_SECONDS,
        )
        return raw, map_columns(maps, raw)

    def on_shard(reference: jax.Array, estimate: jax.Array, lengths: jax.Array) -> Any:
        shape = jax.ShapeDtypeStruct((*lengths.shape, len(scores)), jnp.float32)
        pieces = _pieces(reference), _pieces(estimate)
        return jax.pure_callback(on_host, (shape, shape), *pieces, lengths)

    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=ROWS, out_specs=ROWS)
    raw, mapped = sharded(*jax.lax.stop_gradient((reference, estimate, lengths)))
    return raw, mapped


def map_columns(maps: Sequence[Map], raw: np.ndarray) -> np.ndarray:
    """Returns float32 [B, S], each column of the raw scores [B, S] mapped by its function."""
    columns = [one(raw[:, place]) for place, one in enumerate(maps)]
    return np.stack(columns, axis=1).astype(np.float32)


def _pieces(waveforms: jax.Array) -> list[jax.Array]:
    flat = waveforms.reshape(-1)
    size = PIECE_BYTES // flat.dtype.itemsize
    return [flat[start : start + size] for start in range(0, flat.size, size)]


def _joined(pieces: Sequence[jax.Array]) -> np.ndarray:
    return np.concatenate([np.asarray(piece) for piece in pieces])
