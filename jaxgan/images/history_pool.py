"""A pool of images that a generator made earlier, for its discriminator (Shrivastava et al. 2017).

A discriminator that only sees the newest images forgets what it has rejected before. It is shown a
fresh image or, with probability 1/2, an earlier one, whose place the fresh one takes.

Every row of a batch has its own share of the pool. With a batch of one image that is the pool
of the paper; with larger ones the shares are divided over devices as the batch is, so that devices
exchange nothing and their number changes no result.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.errors import UserError


@struct.dataclass
class Pool:
    """Earlier images.

    Attributes:
        images: float32 [B, K, S, S, C], K for each row of a batch; places that are not yet filled
            are zeros.
        filled: int32 [], how many of the K have been filled.
    """

    images: jax.Array
    filled: jax.Array


def make_pool(batch_size: int, capacity: int, shape: tuple[int, ...]) -> Pool:
    """Returns an empty pool.

    Args:
        batch_size: B.
        capacity: the capacity of all rows together, a multiple of B; 0 for a pool that keeps
            nothing.
        shape: the shape of an image.

    Raises:
        UserError: the capacity cannot be divided.
    """
    if capacity % batch_size:
        raise UserError(
            f"config.pool={capacity}: must be a multiple of config.batch_size={batch_size}, or 0"
        )
    images = jnp.zeros((batch_size, capacity // batch_size, *shape))
    return Pool(images, jnp.zeros((), jnp.int32))


def shardings(mesh: Mesh) -> Pool:
    """Returns the sharding of each part of a pool; see `StepRecipe`."""
    return Pool(devices.sharded(mesh), devices.replicated(mesh))  # type: ignore[arg-type]


def exchange(pool: Pool, fresh: jax.Array, key: jax.Array) -> tuple[jax.Array, Pool]:
    """Returns the images for the discriminator, and the pool afterwards; pure.

    As long as the pool is not full, fresh images are shown and kept.

    Args:
        pool: a pool of B rows.
        fresh: float32 [B, S, S, C], newly generated images.
        key: the PRNG key of the draw.

    Returns:
        float32 [B, S, S, C], and the pool.
    """
    count, capacity = pool.images.shape[:2]
    if not capacity:
        return fresh, pool
    place_key, choice_key = jax.random.split(key)
    full = pool.filled == capacity
    place = jnp.where(full, jax.random.randint(place_key, (count,), 0, capacity), pool.filled)
    earlier = full & jax.random.bernoulli(choice_key, 0.5, (count,))
    # Comparisons instead of indices, which would not be divided over devices.
    here = (jnp.arange(capacity) == place[:, None])[..., None, None, None]
    chosen = jnp.sum(jnp.where(here, pool.images, 0), axis=1)
    shown = jnp.where(earlier[:, None, None, None], chosen, fresh)
    written = here & (earlier | ~full)[:, None, None, None, None]
    images = jnp.where(written, fresh[:, None], pool.images)
    return shown, Pool(images, jnp.minimum(pool.filled + 1, capacity))


def exchange_all(
    pools: Mapping[str, Pool], fresh: Mapping[str, jax.Array], key: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, Pool]]:
    """Returns what `exchange` returns for several pools by name, each with its own draws."""
    found = {
        name: exchange(pools[name], fresh[name], jax.random.fold_in(key, number))
        for number, name in enumerate(sorted(pools))
    }
    shown, after = ({name: pair[part] for name, pair in found.items()} for part in (0, 1))
    return shown, after  # type: ignore[return-value]
