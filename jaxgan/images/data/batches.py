"""Batches by index: the data stay on the devices as bytes, and the host only sends indices.

resident = place(train, mesh)
rows = schedule(len(train), config.batch_size, steps, config.seed, round_number)
images, labels = gather(resident, rows[0])      # in a compiled step
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.images.data.dataset import Images

STREAM, LABELLED_STREAM, SECOND_DOMAIN_STREAM = 3, 4, 6
"""Parts of the seed, for the order of all data, of the labelled data, and of a second domain."""
WHITE = 255


class Resident(NamedTuple):
    """Data on the devices.

    Attributes:
        values: uint8 [n, H, W, C], or float32 [n, 2].
        labels: int32 [n].
    """

    values: jax.Array
    labels: jax.Array


def place(images: Images, mesh: Mesh) -> Resident:
    """Puts all data on every device of the mesh."""
    return Resident(*devices.put_replicated((images.values, images.labels), mesh))


def schedule(
    count: int, batch_size: int, steps: int, seed: int, round_number: int, stream: int = STREAM
) -> np.ndarray:
    """Returns the indices of the batches of one round: int32 [steps, batch_size].

    Rounds cut an endless series of epochs. An epoch is a new random order of all the data, of which
    it uses only whole batches, so no index occurs twice in an epoch. A round may be
    shorter or longer than an epoch. The result depends only on the arguments, so a resumed run
    repeats it.

    Args:
        count: n, the number of images or points.
        batch_size: B, at most n.
        steps: batches of a round, the same in every round.
        seed: any number from 0.
        round_number: the number of the round, from 1.
        stream: distinguishes orders of the same seed from each other.

    Raises:
        ValueError: the batch is larger than the data.
    """
    if batch_size > count:
        raise ValueError(f"a batch of {batch_size} cannot be drawn from {count} without repetition")
    per_epoch = count // batch_size
    first = (round_number - 1) * steps
    epochs = range(first // per_epoch, (first + steps - 1) // per_epoch + 1)
    rows = np.concatenate([_epoch(count, batch_size, (seed, stream, epoch)) for epoch in epochs])
    start = first - epochs[0] * per_epoch
    return rows[start : start + steps]


def _epoch(count: int, batch_size: int, seed: tuple[int, int, int]) -> np.ndarray:
    """Returns all whole batches of an epoch: int32 [n // B, B]."""
    order = np.random.default_rng(seed).permutation(count).astype(np.int32)
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


def cover(count: int, most: int) -> np.ndarray:
    """Returns the indices 0 to count - 1 in batches of one size: int [batches, size].

    The places that are left in the last batch hold the first indices again.

    Args:
        count: at least 1.
        most: the largest size of a batch.
    """
    size = min(count, most)
    return np.resize(np.arange(count), (-(-count // size), size))


def gather(resident: Resident, index: jax.Array, low: float = -1.0) -> tuple[jax.Array, jax.Array]:
    """Returns a batch of images and their labels; pure, for use in a compiled step.

    Args:
        resident: the data.
        index: int32 [B], from 0 to n - 1.
        low: the value of black: -1 for generators that end in tanh, 0 for a sigmoid.

    Returns:
        A pair: float32 [B, H, W, C], where white is 1, or float32 [B, 2], points as they are; and
        int32 [B].
    """
    return to_floats(resident.values[index], low), resident.labels[index]


def to_floats(values: jax.Array, low: float = -1.0) -> jax.Array:
    """Returns images, uint8 [...], as float32 from `low` to 1, and points as they are."""
    if values.dtype == jnp.uint8:
        # In this order the numerator is exact, and so are black and white after the division.
        values = (values.astype(jnp.float32) * (1 - low) + WHITE * low) / WHITE
    return values


def to_bytes(images: jax.Array, low: float = -1.0) -> jax.Array:
    """Returns images as `gather` gives them, float32 [..., H, W, C], as uint8; others are clipped.

    It inverts `gather` exactly.
    """
    scaled = jnp.rint((images - low) / (1 - low) * WHITE)
    return jnp.clip(scaled, 0, WHITE).astype(jnp.uint8)
