"""Random crops and mirror images, which pix2pix and CycleGAN train with."""

import jax
import jax.numpy as jnp


def jitter(images: jax.Array, key: jax.Array, enlarge: float, flip: bool) -> jax.Array:
    """Returns random crops of enlarged images, of the images' own shape; pure.

    Every image is enlarged by bilinear interpolation, cropped to its first size at a random place,
    and mirrored from left to right with probability 1/2 (Isola et al. 2017, section 6.2). With the
    same key, the images of a pair stay aligned.

    Args:
        images: float32 [B, S, S, C].
        key: the PRNG key of the draw.
        enlarge: the factor, at least 1; the larger size is rounded to whole pixels.
        flip: whether images are mirrored.
    """
    count, size = images.shape[:2]
    larger = round(size * enlarge)
    row_key, column_key, flip_key = jax.random.split(key, 3)

    def sources(key: jax.Array) -> jax.Array:
        """Returns where each of S pixels comes from, in pixels of the image, [B, S]."""
        offset = jax.random.randint(key, (count, 1), 0, larger - size + 1)
        return jnp.clip((jnp.arange(size) + offset + 0.5) * size / larger - 0.5, 0, size - 1)

    def weights(source: jax.Array) -> jax.Array:
        return jnp.maximum(0, 1 - jnp.abs(source[..., None] - jnp.arange(size)))

    down, across = sources(row_key), sources(column_key)
    mirrored = jax.random.bernoulli(flip_key, 0.5, (count, 1)) & flip
    across = jnp.where(mirrored, across[:, ::-1], across)
    # Products with matrices, because a gather is slow on accelerators and not divided over devices.
    return jnp.einsum(
        "bij,bjkc,blk->bilc", weights(down), images, weights(across), precision="highest"
    )
