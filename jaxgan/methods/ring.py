"""A ring of rows in device memory that overwrites the oldest ones: a replay buffer.

The ring belongs into the memory of the run state, so that a checkpoint has it. Every device holds
all of it; a minibatch is cut over the devices, so each reads only the rows of its share.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from jaxgan.core.devices import cut_rows
from jaxgan.core.state import PyTree


@struct.dataclass
class Ring:
    """The rows that were added last.

    Attributes:
        rows: a pytree of arrays [capacity, ...]; those that were not written yet are zeros.
        added: int32 [], how many rows have been added, including those that are gone. Row number n
            is at n modulo the capacity. It may grow up to 2^31 - 1.
    """

    rows: PyTree
    added: jax.Array

    @property
    def capacity(self) -> int:
        """The most rows that it holds."""
        return int(jax.tree.leaves(self.rows)[0].shape[0])

    @property
    def size(self) -> jax.Array:
        """How many rows it holds, int32 []."""
        return jnp.minimum(self.added, self.capacity)


def make_ring(row: PyTree, capacity: int) -> Ring:
    """Returns an empty ring.

    Args:
        row: a pytree of arrays or `jax.ShapeDtypeStruct`s like those of one row.
        capacity: the most rows that it holds.
    """
    rows = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), row)
    return Ring(rows, jnp.zeros((), jnp.int32))


def add(ring: Ring, rows: PyTree) -> Ring:
    """Returns the ring with more rows, in place of the oldest ones if it is full.

    Args:
        ring: to add to.
        rows: a pytree of arrays [n, ...], with the same n in every call.

    Raises:
        ValueError: the capacity is no multiple of n, so the rows would not stay in one piece.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    if ring.capacity % count:
        raise ValueError(f"a ring of {ring.capacity} rows cannot take {count} at a time")
    first = ring.added % ring.capacity
    written = jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, first, axis=0),
        ring.rows,
        rows,
    )
    return dataclasses.replace(ring, rows=written, added=ring.added + count)


def sample(ring: Ring, key: jax.Array, count: int, window: int = 1, stride: int = 1) -> PyTree:
    """Returns windows of consecutive rows, drawn uniformly with replacement.

    A window never contains both the newest and the oldest row as neighbours.

    Args:
        ring: with at least (window - 1) * stride + 1 rows.
        key: of the draw.
        count: how many windows.
        window: rows of each.
        stride: the distance of the rows of a window: how many rows every `add` has, if each
            continues a sequence of its own.

    Returns:
        A pytree of arrays [count, window, ...], the oldest row of each window first.
    """
    starts = ring.size - (window - 1) * stride
    chosen = jax.random.randint(key, (count,), 0, starts) + ring.added - ring.size
    numbers = chosen[:, None] + stride * jnp.arange(window)
    places = cut_rows(numbers % ring.capacity)
    return jax.tree.map(lambda leaf: leaf[places], ring.rows)
