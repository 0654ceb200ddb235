"""A ring of rows in device memory that overwrites the oldest ones: a replay buffer.

The ring belongs in the memory of the run state, so that a checkpoint has it. It is cut over the
devices of the mesh that is set, each of which holds an equal part of its rows (`shardings`). The
device that holds a row writes it, and reads it whichever device it is for: what the devices
exchange is one minibatch, cut over them, and never the ring.

Windows of rows are drawn uniformly (`draw`) or by priority (`draw_by_priority`), and then read
(`read`). Priorities are one number a row, and every device holds all of them.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.state import PyTree

SMALLEST_ERROR = 1e-6
"""A number that is added to every error so that no row has priority 0."""


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

    def starts(self, window: int, stride: int) -> jax.Array:
        """How many of its rows, from the oldest on, start a complete window, int32 []."""
        return self.size - (window - 1) * stride


@struct.dataclass
class Priorities:
    """How likely the rows of a ring are drawn (Schaul et al. 2016, the proportional variant).

    Attributes:
        values: float32 [capacity], by place in the ring, not normalised.
        highest: float32 [], that any row has had; new rows get it, so that they are soon drawn.
    """

    values: jax.Array
    highest: jax.Array


def make_ring(row: PyTree, capacity: int) -> Ring:
    """Returns an empty ring.

    Args:
        row: a pytree of arrays or `jax.ShapeDtypeStruct`s like those of one row.
        capacity: the most rows that it holds.
    """
    rows = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), row)
    return Ring(rows, jnp.zeros((), jnp.int32))


def shardings(mesh: Mesh) -> Ring:
    """Returns the sharding of each part of a ring; see `StepRecipe`."""
    return Ring(devices.sharded(mesh), devices.replicated(mesh))  # type: ignore[arg-type]


def add(ring: Ring, rows: PyTree) -> Ring:
    """Returns the ring with more rows, in place of the oldest ones if it is full.

    Args:
        ring: the ring to add to.
        rows: a pytree of arrays [n, ...], with the same n in every call.

    Raises:
        ValueError: the capacity is not a multiple of n times the number of devices, so the rows
            would not stay in one piece on one device.
    """
    count, shards = jax.tree.leaves(rows)[0].shape[0], _shards()
    if ring.capacity % (count * shards):
        raise ValueError(
            f"a ring of {ring.capacity} rows on {shards} devices cannot take {count} at a time"
        )
    first = ring.added % ring.capacity
    if shards == 1:
        written = jax.tree.map(
            lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, first, axis=0),
            ring.rows,
            rows,
        )
    else:
        written = _over_devices(_write, ring, rows, first, out_specs=jax.P(devices.DATA))
    return dataclasses.replace(ring, rows=written, added=ring.added + count)


def draw(ring: Ring, key: jax.Array, count: int, window: int = 1, stride: int = 1) -> jax.Array:
    """Returns the numbers of the first rows of windows, int32 [count].

    They are drawn uniformly with replacement. A window never contains both the newest and the
    oldest row as neighbours.

    Args:
        ring: a ring with at least (window - 1) * stride + 1 rows.
        key: the PRNG key of the draw.
        count: how many windows.
        window: rows of each.
        stride: the distance of the rows of a window: how many rows every `add` has, if each
            continues a sequence of its own.
    """
    chosen = jax.random.randint(key, (count,), 0, ring.starts(window, stride))
    return chosen + ring.added - ring.size


def read(ring: Ring, numbers: jax.Array, window: int = 1, stride: int = 1) -> PyTree:
    """Returns windows of consecutive rows, cut over the devices along their first axis.

    Args:
        ring: the ring to read from.
        numbers: int32 [count], of the first row of each window; `count` is a multiple of the
            number of devices.
        window: rows of each.
        stride: see `draw`.

    Returns:
        A pytree of arrays [count, window, ...], the oldest row of each window first.
    """
    places = (numbers[:, None] + stride * jnp.arange(window)) % ring.capacity
    if _shards() == 1:
        return jax.tree.map(lambda leaf: leaf[places], ring.rows)
    return _over_devices(_read, ring, places, out_specs=jax.P(devices.DATA))


def make_priorities(capacity: int) -> Priorities:
    """Returns the priorities of an empty ring."""
    return Priorities(jnp.zeros(capacity), jnp.ones(()))


def add_priorities(priorities: Priorities, ring: Ring, count: int) -> Priorities:
    """Returns the priorities with those of new rows, which are the highest so far.

    Args:
        priorities: the priorities of the ring.
        ring: before the rows are added to it.
        count: how many rows there are.
    """
    new = jnp.full(count, priorities.highest)
    first = ring.added % ring.capacity
    values = jax.lax.dynamic_update_slice_in_dim(priorities.values, new, first, axis=0)
    return dataclasses.replace(priorities, values=values)


def draw_by_priority(
    priorities: Priorities,
    ring: Ring,
    key: jax.Array,
    count: int,
    correction: jax.Array | float,
    window: int = 1,
    stride: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """Draws windows with probabilities proportional to the priorities of their first rows.

    One window is drawn from each of `count` equal parts of the sum of all priorities (Schaul et al.
    2016, appendix B.2.1). The sums are computed for every draw: on a device, adding up a million
    numbers costs less than the walk through the tree that the paper keeps.

    Args:
        priorities: the priorities of the ring.
        ring: a ring with at least (window - 1) * stride + 1 rows.
        key: the PRNG key of the draw.
        count: how many windows.
        correction: beta; 1 corrects the bias of the draw in full, 0 not at all.
        window: rows of each.
        stride: see `draw`.

    Returns:
        The numbers of the first rows, int32 [count]; and the importance weights (N P)^-beta of the
        N windows that could be drawn, divided by the largest one of the draw, float32 [count].
    """
    starts, oldest = ring.starts(window, stride), ring.added - ring.size
    # In the order of age, what can be drawn are the first rows, so rounding never leads elsewhere.
    by_age = jnp.roll(priorities.values, -(oldest % ring.capacity))
    by_age = jnp.where(jnp.arange(ring.capacity) < starts, by_age, 0.0)
    sums = jnp.cumsum(by_age)
    parts = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count
    chosen = jnp.searchsorted(sums, parts * sums[-1], side="right").astype(jnp.int32)
    chosen = jnp.minimum(chosen, starts - 1)
    weights = (starts * by_age[chosen] / sums[-1]) ** -correction
    return chosen + oldest, weights / weights.max()


def update_priorities(
    priorities: Priorities, numbers: jax.Array, errors: jax.Array, exponent: float
) -> Priorities:
    """Returns the priorities after an update: the absolute errors to the power of `exponent`.

    Args:
        priorities: the priorities to change.
        numbers: int32 [n], of the rows; several may be equal.
        errors: float32 [n], of the values of these rows.
        exponent: alpha; 0 makes all rows equally likely.
    """
    new = (jnp.abs(errors) + SMALLEST_ERROR) ** exponent
    places = numbers % len(priorities.values)
    # The order in which equal places are written is not fixed, that of a maximum does not matter.
    values = priorities.values.at[places].set(0.0).at[places].max(new)
    return Priorities(values, jnp.maximum(priorities.highest, new.max()))


def _shards() -> int:
    """Returns over how many devices rings are cut: those of the mesh that is set, or one."""
    mesh = jax.sharding.get_abstract_mesh()
    return math.prod(mesh.shape[axis] for axis in mesh.auto_axes)


def _over_devices(function: Any, ring: Ring, *arguments: Any, out_specs: Any) -> PyTree:
    """Returns function(rows of a device, the place of its first row, *arguments) of all devices."""
    rows = ring.capacity // _shards()

    @functools.partial(
        jax.shard_map,
        in_specs=(jax.P(devices.DATA), *[jax.P()] * len(arguments)),
        out_specs=out_specs,
        check_vma=False,
    )
    def on_each(held: PyTree, *arguments: Any) -> PyTree:
        return function(held, jax.lax.axis_index(devices.DATA) * rows, *arguments)

    return on_each(ring.rows, *arguments)


def _write(held: PyTree, offset: jax.Array, rows: PyTree, first: jax.Array) -> PyTree:
    """Returns the rows of a device, with the new ones if their place is here."""

    def write(held: jax.Array, new: jax.Array) -> jax.Array:
        start = jnp.clip(first - offset, 0, len(held) - len(new))
        here = start == first - offset
        old = jax.lax.dynamic_slice_in_dim(held, start, len(new))
        chosen = jnp.where(here, new, old)
        return jax.lax.dynamic_update_slice_in_dim(held, chosen, start, axis=0)

    return jax.tree.map(write, held, rows)


def _read(held: PyTree, offset: jax.Array, places: jax.Array) -> PyTree:
    """Returns this device's share of the rows at the places, wherever they are held."""

    def read(held: jax.Array) -> jax.Array:
        here = (places >= offset) & (places < offset + len(held))
        rows = held[jnp.where(here, places - offset, 0)]
        rows = jnp.where(here.reshape(here.shape + (1,) * (held.ndim - 1)), rows, 0)
        # One device has the row and all others have zeros.
        summed = rows.astype(jnp.int32) if held.dtype == bool else rows
        summed = jax.lax.psum_scatter(summed, devices.DATA, scatter_dimension=0, tiled=True)
        return summed.astype(held.dtype)

    return jax.tree.map(read, held)
