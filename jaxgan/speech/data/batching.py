"""Builds padded batches of few fixed shapes, in an order that depends only on seed and round.

A fixed corpus that is small enough stays on every device, where a batch is gathered by index.
Batches of any other corpus are built on the host by a background thread, one round ahead. Both
ways give the same batches.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.speech.data.corpus import DrawnPairs, PairCorpus
from jaxgan.speech.data.mix import MixCorpus
from jaxgan.speech.data.waves import Waves


@struct.dataclass
class Batch:
    """Utterances padded with zeros to one length T. Rows that only fill the batch are empty.

    Attributes:
        clean: int16 [B, T].
        noisy: int16 [B, T].
        lengths: int32 [B], in samples; 0 in an empty row.
        index: int32 [B], each utterance's index in its corpus; -1 in an empty row.
        gain: float32 [B], the factor that was applied to the clean side to keep the mixture within
            full scale; 1 in an empty row.
    """

    clean: jax.Array
    noisy: jax.Array
    lengths: jax.Array
    index: jax.Array
    gain: jax.Array


class Rows(NamedTuple):
    """The rows of a batch as the host knows them.

    Attributes:
        utterance: int32 [B], the `index` of `Batch`.
        gain: float32 [B], as in `Batch`.
        lengths: int32 [B], as in `Batch`.
    """

    utterance: np.ndarray
    gain: np.ndarray
    lengths: np.ndarray


class BatchPlan(NamedTuple):
    """A batch that has not been built yet.

    Attributes:
        length: its padded length in samples.
        rows: int32 [B], the position of each row's utterance among those of the round; -1 in an
            empty row.
    """

    length: int
    rows: np.ndarray


def plan_batches(
    lengths: np.ndarray, bucket_lengths: np.ndarray, batch_size: int
) -> list[BatchPlan]:
    """Divides utterances into batches of one size and of few padded lengths.

    Utterances of similar lengths share a batch, even within a bucket: some computations skip the
    padding, so less of it still saves time.

    Args:
        lengths: int [n], in samples.
        bucket_lengths: int [buckets], ascending; the last is at least as long as every utterance.
        batch_size: the number of rows in every batch.

    Returns:
        One plan per batch, from the longest utterances to the shortest, so that the first batches
        of a run need the most memory. Empty rows are the last ones of the last batch.
    """
    order = np.argsort(-lengths, kind="stable").astype(np.int32)
    count = -(-len(order) // batch_size)
    filled = np.full((count, batch_size), -1, np.int32)
    filled.reshape(-1)[: len(order)] = order
    longest = lengths[filled[:, 0]]
    buckets = np.searchsorted(bucket_lengths, longest, side="left")
    return [
        BatchPlan(int(bucket_lengths[b]), rows) for b, rows in zip(buckets, filled, strict=True)
    ]


def _pad(waves: list[np.ndarray], length: int) -> np.ndarray:
    padded = np.zeros((len(waves), length), np.int16)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    return padded


def build(plan: BatchPlan, drawn: DrawnPairs) -> dict[str, np.ndarray]:
    """Returns the fields of one `Batch` as NumPy arrays."""
    nothing = np.zeros(0, np.int16)
    clean = [drawn.clean[row] if row >= 0 else nothing for row in plan.rows]
    noisy = [drawn.noisy[row] if row >= 0 else nothing for row in plan.rows]
    filled = plan.rows >= 0
    return {
        "clean": _pad(clean, plan.length),
        "noisy": _pad(noisy, plan.length),
        "lengths": np.array([len(wave) for wave in clean], np.int32),
        "index": np.where(filled, drawn.index[plan.rows], np.int32(-1)),
        "gain": np.where(filled, drawn.gain[plan.rows], np.float32(1)),
    }


def gather(
    clean: jax.Array, noisy: jax.Array, starts: jax.Array, lengths: jax.Array, length: int
) -> tuple[jax.Array, jax.Array]:
    """Cuts rows out of a flat corpus and sets the samples after each row's length to zero.

    Args:
        clean: int16 [total + tail], the corpus and at least `length` samples of any value after it.
        noisy: int16 [total + tail], likewise.
        starts: int32 [B], the first sample of each row.
        lengths: int32 [B], in samples, at most `length`.
        length: T, the padded length in samples.

    Returns:
        The clean and the noisy rows, both int16 [B, T].
    """
    inside = jnp.arange(length) < lengths[:, None]

    def rows(samples: jax.Array) -> jax.Array:
        cut = jax.vmap(lambda start: jax.lax.dynamic_slice(samples, (start,), (length,)))
        return jnp.where(inside, cut(starts), jnp.int16(0))

    return rows(clean), rows(noisy)


def _flat(waves: Waves, tail: int) -> np.ndarray:
    """Returns the waves one after another and `tail` zeros after them: int16 [total + tail]."""
    return np.concatenate([*(waves[number] for number in range(len(waves))), np.zeros(tail, "i2")])


class _ResidentCorpus:
    """A fixed corpus that is kept on every device."""

    def __init__(self, corpus: PairCorpus, mesh: Mesh) -> None:
        tail = int(corpus.bucket_lengths[-1])
        sides = (_flat(corpus.clean_waves, tail), _flat(corpus.noisy_waves, tail))
        self._sides = devices.put_replicated(sides, mesh)
        self._lengths = corpus.lengths
        self._starts = np.cumsum(corpus.lengths, dtype=np.int32) - corpus.lengths
        self._mesh = mesh
        rows = devices.sharded(mesh)
        self._gather = jax.jit(gather, static_argnames="length", out_shardings=(rows, rows))

    def batch(self, plan: BatchPlan, order: np.ndarray) -> tuple[Batch, Rows]:
        filled = plan.rows >= 0
        index = np.where(filled, order[plan.rows], -1).astype(np.int32)
        fields = {
            "starts": np.where(filled, self._starts[index], np.int32(0)),
            "lengths": np.where(filled, self._lengths[index], np.int32(0)),
            "index": index,
            "gain": np.ones(len(index), np.float32),
        }
        placed = devices.put_sharded(fields, self._mesh)
        starts = placed.pop("starts")
        clean, noisy = self._gather(*self._sides, starts, placed["lengths"], length=plan.length)
        rows = Rows(fields["index"], fields["gain"], fields["lengths"])
        return Batch(clean=clean, noisy=noisy, **placed), rows


class Loader:
    """Loads the batches of each round onto the devices. Close it, or use a `with` statement.

    Args:
        corpus: fixed pairs, or speech and noise to mix; its bucket lengths have been chosen.
        count: the number of utterances per round.
        batch_size: the number of rows in every batch; a multiple of the number of devices.
        seed: decides the order and the mixtures, together with the round number.
        mesh: the devices; batches are divided over its axis "data".
        resident_megabytes: a fixed corpus of at most this size (both sides, int16) is kept on
            every device; 0 keeps none there.

    Raises:
        UserError: the batch size is not a multiple of the number of devices, or `count` is below 1.
    """

    def __init__(
        self,
        corpus: PairCorpus | MixCorpus,
        *,
        count: int,
        batch_size: int,
        seed: int,
        mesh: Mesh,
        resident_megabytes: float = 0,
    ) -> None:
        if batch_size < 1 or batch_size % mesh.size:
            raise UserError(
                f"config.batch_size={batch_size} cannot be divided over {mesh.size} devices: "
                f"choose a multiple of {mesh.size}"
            )
        if count < 1:
            raise UserError(f"config.utterances_per_round={count}: give at least 1")
        self._corpus = corpus
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._mesh = mesh
        self._resident: _ResidentCorpus | None = None
        if isinstance(corpus, PairCorpus) and fits(corpus, resident_megabytes):
            self._resident = _ResidentCorpus(corpus, mesh)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[list[dict[str, np.ndarray]]]] = {}

    def round(self, number: int) -> list[tuple[Batch, Rows]]:
        """Returns the batches of round `number`, which depend only on the seed and the number."""
        if self._resident is not None:
            order = self._corpus.order(self._seed, number, self._count)
            return [self._resident.batch(plan, order) for plan in self._plan(order)]
        future = self._ahead.pop(number, None) or self._thread.submit(self._build, number)
        for other in self._ahead.values():
            other.cancel()
        self._ahead = {number + 1: self._thread.submit(self._build, number + 1)}
        return [self._put(batch) for batch in future.result()]

    def all(self) -> Iterator[tuple[Batch, Rows]]:
        """Yields every utterance of a fixed corpus once, in batches of the same shapes."""
        if not isinstance(self._corpus, PairCorpus):
            raise TypeError("a corpus that is mixed in every round has no fixed batches")
        order = np.arange(len(self._corpus))
        drawn = self._corpus.take(order)
        for plan in self._plan(order):
            if self._resident is not None:
                yield self._resident.batch(plan, order)
            else:
                yield self._put(build(plan, drawn))

    def close(self) -> None:
        """Stops the background thread and discards what it was building."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Loader":
        """Returns the loader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the loader."""
        self.close()

    def _plan(self, order: np.ndarray) -> list[BatchPlan]:
        lengths = self._corpus.lengths[order]
        return plan_batches(lengths, self._corpus.bucket_lengths, self._batch_size)

    def _build(self, number: int) -> list[dict[str, np.ndarray]]:
        drawn = self._corpus.draw(self._seed, number, self._count)
        return [build(plan, drawn) for plan in self._plan(drawn.index)]

    def _put(self, fields: dict[str, np.ndarray]) -> tuple[Batch, Rows]:
        rows = Rows(fields["index"], fields["gain"], fields["lengths"])
        return Batch(**devices.put_sharded(fields, self._mesh)), rows


def fits(corpus: PairCorpus, megabytes: float) -> bool:
    """Whether both sides of a corpus fit in that many megabytes and int32 can index them."""
    samples = int(corpus.lengths.sum(dtype=np.int64)) + int(corpus.bucket_lengths[-1])
    return 2 * 2 * samples <= megabytes * 1e6 and samples < 2**31
