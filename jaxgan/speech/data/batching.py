"""Batches on the devices: few fixed shapes, an order that (seed, round) alone decides.

A fixed corpus that is small enough lives on every device and a batch is an index gather; any
other is built on the host, one round ahead, in a thread of its own. Both give the same batches.
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
from jaxgan.speech.data.corpus import Drawn, PairCorpus
from jaxgan.speech.data.mix import MixCorpus
from jaxgan.speech.data.waves import Waves


@struct.dataclass
class Batch:
    """Utterances padded with zeros to one length T; what is in a row ends at its length.

    Attributes:
        clean: int16 [B, T].
        noisy: int16 [B, T].
        lengths: int32 [B], samples; 0 marks a row that only fills the batch.
        index: int32 [B], the utterance's number in its corpus; -1 in a row that only fills.
        gain: float32 [B], what the clean side was multiplied by to fit into full scale.
    """

    clean: jax.Array
    noisy: jax.Array
    lengths: jax.Array
    index: jax.Array
    gain: jax.Array


class Rows(NamedTuple):
    """The rows of a batch as the host knows them.

    Attributes:
        index: int32 [B], as in `Batch`.
        gain: float32 [B], as in `Batch`.
        lengths: int32 [B], as in `Batch`.
    """

    index: np.ndarray
    gain: np.ndarray
    lengths: np.ndarray


class Plan(NamedTuple):
    """One batch to be: its padded length, and its rows as positions in what was drawn or -1."""

    length: int
    rows: np.ndarray


def plan_batches(lengths: np.ndarray, bucket_lengths: np.ndarray, batch_size: int) -> list[Plan]:
    """Divides utterances into full-sized batches of few lengths.

    Utterances of about one length come together, so that little is padded: even within a bucket,
    since not everything computes padding.

    Args:
        lengths: int [n], samples.
        bucket_lengths: int [buckets], rising; the last is not shorter than any utterance.
        batch_size: rows of every batch.

    Returns:
        Plans from the longest utterances to the shortest: the first batches of a run then meet the
        greatest need of memory. The rows -1 come last in the last batch.
    """
    order = np.argsort(-lengths, kind="stable").astype(np.int32)
    count = -(-len(order) // batch_size)
    filled = np.full((count, batch_size), -1, np.int32)
    filled.reshape(-1)[: len(order)] = order
    longest = lengths[filled[:, 0]]
    buckets = np.searchsorted(bucket_lengths, longest, side="left")
    return [Plan(int(bucket_lengths[b]), rows) for b, rows in zip(buckets, filled, strict=True)]


def _pad(waves: list[np.ndarray], length: int) -> np.ndarray:
    padded = np.zeros((len(waves), length), np.int16)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    return padded


def build(plan: Plan, drawn: Drawn) -> dict[str, np.ndarray]:
    """The fields of one batch, on the host."""
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
    """Rows of a flat corpus, zero from their lengths on.

    Args:
        clean: int16 [total], followed by at least `length` further samples of any value.
        noisy: int16 [total], likewise.
        starts: int32 [B].
        lengths: int32 [B], at most `length`.
        length: T.

    Returns:
        (clean int16 [B, T], noisy int16 [B, T]).
    """
    inside = jnp.arange(length) < lengths[:, None]

    def rows(samples: jax.Array) -> jax.Array:
        cut = jax.vmap(lambda start: jax.lax.dynamic_slice(samples, (start,), (length,)))
        return jnp.where(inside, cut(starts), jnp.int16(0))

    return rows(clean), rows(noisy)


def _flat(waves: Waves, tail: int) -> np.ndarray:
    """int16 [total + tail]: the waves one after another."""
    return np.concatenate([*(waves[number] for number in range(len(waves))), np.zeros(tail, "i2")])


class _Resident:
    """A fixed corpus on every device."""

    def __init__(self, corpus: PairCorpus, mesh: Mesh) -> None:
        tail = int(corpus.bucket_lengths[-1])
        sides = (_flat(corpus.clean_waves, tail), _flat(corpus.noisy_waves, tail))
        self._sides = devices.put_replicated(sides, mesh)
        self._lengths = corpus.lengths
        self._starts = np.cumsum(corpus.lengths, dtype=np.int32) - corpus.lengths
        self._mesh = mesh
        rows = devices.sharded(mesh)
        self._gather = jax.jit(gather, static_argnames="length", out_shardings=(rows, rows))

    def batch(self, plan: Plan, order: np.ndarray) -> tuple[Batch, Rows]:
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
    """The batches of each round of a corpus. Close it, or use it in a `with` statement.

    Args:
        corpus: fixed pairs, or speech and noise to be mixed; bucket lengths chosen.
        count: utterances a round.
        batch_size: rows of every batch; a multiple of the number of devices.
        seed: with the round's number, decides the order (and the mixtures).
        mesh: has the axis "data", over which batches are divided.
        resident_megabytes: a fixed corpus of at most this size (both sides, int16) is kept on
            every device; 0 for never.

    Raises:
        UserError: the batch size cannot be divided over the devices; a count below 1.
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
        self._resident: _Resident | None = None
        if isinstance(corpus, PairCorpus) and fits(corpus, resident_megabytes):
            self._resident = _Resident(corpus, mesh)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[list[dict[str, np.ndarray]]]] = {}

    def round(self, number: int) -> list[tuple[Batch, Rows]]:
        """Returns the batches of one round, on the devices, each with its rows on the host.

        They depend only on the seed and the number.
        """
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
            raise TypeError("a corpus that is mixed anew in every round has no fixed batches")
        order = np.arange(len(self._corpus))
        drawn = self._corpus.take(order)
        for plan in self._plan(order):
            if self._resident is not None:
                yield self._resident.batch(plan, order)
            else:
                yield self._put(build(plan, drawn))

    def close(self) -> None:
        """Ends the thread; what it was building is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Loader":
        """The loader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the loader."""
        self.close()

    def _plan(self, order: np.ndarray) -> list[Plan]:
        lengths = self._corpus.lengths[order]
        return plan_batches(lengths, self._corpus.bucket_lengths, self._batch_size)

    def _build(self, number: int) -> list[dict[str, np.ndarray]]:
        drawn = self._corpus.draw(self._seed, number, self._count)
        return [build(plan, drawn) for plan in self._plan(drawn.index)]

    def _put(self, fields: dict[str, np.ndarray]) -> tuple[Batch, Rows]:
        rows = Rows(fields["index"], fields["gain"], fields["lengths"])
        return Batch(**devices.put_sharded(fields, self._mesh)), rows


def fits(corpus: PairCorpus, megabytes: float) -> bool:
    """Whether both sides of a corpus take at most so many megabytes, and int32 can count them."""
    samples = int(corpus.lengths.sum(dtype=np.int64)) + int(corpus.bucket_lengths[-1])
    return 2 * 2 * samples <= megabytes * 1e6 and samples < 2**31
