"""The Laplacian pyramid (Burt and Adelson 1983): an image as a coarse image and bands of detail.

coarse = reduce(image)            half as many rows and columns
band = image - expand(coarse)     so image = expand(coarse) + band
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

WEIGHTS = np.array([1, 4, 6, 4, 1]) / 16
"""The weights of a pixel and two neighbours on either side: Burt and Adelson's filter, a = 3/8."""


def halved(side: int) -> int:
    """Returns the side of the next coarser level: half, rounded up."""
    return -(-side // 2)


@functools.cache
def reduction(side: int) -> np.ndarray:
    """Returns the matrix that reduces a row of pixels, float32 [halved(side), side].

    Beyond its ends a row continues with its outermost pixels.
    """
    matrix = np.zeros((halved(side), side), np.float32)
    for row in range(len(matrix)):
        for offset, weight in zip(range(-2, 3), WEIGHTS, strict=True):
            matrix[row, np.clip(2 * row + offset, 0, side - 1)] += weight
    return matrix


@functools.cache
def expansion(side: int) -> np.ndarray:
    """Returns the matrix that expands a row to a number of pixels, float32 [side, halved(side)].

    The weights of a pixel sum to 1, at the ends as well.
    """
    matrix = np.zeros((side, halved(side)), np.float32)
    for row in range(side):
        for offset, weight in zip(range(-2, 3), WEIGHTS, strict=True):
            source, odd = divmod(row + offset, 2)
            if not odd:
                matrix[row, np.clip(source, 0, matrix.shape[1] - 1)] += 2 * weight
    return matrix


def _apply(down: np.ndarray, across: np.ndarray, images: jax.Array) -> jax.Array:
    return jnp.einsum("ij,bjkc,lk->bilc", down, images, across, precision="highest")


def reduce(images: jax.Array) -> jax.Array:
    """Returns the next coarser level of images, float32 [B, halved(H), halved(W), C]; pure.

    Args:
        images: float32 [B, H, W, C].
    """
    height, width = images.shape[1:3]
    return _apply(reduction(height), reduction(width), images)


def expand(images: jax.Array, size: Sequence[int]) -> jax.Array:
    """Returns images at the size of the next finer level, float32 [B, H, W, C]; pure.

    Args:
        images: float32 [B, halved(H), halved(W), C].
        size: H and W.
    """
    height, width = size
    return _apply(expansion(height), expansion(width), images)


def levels(images: jax.Array, count: int) -> list[jax.Array]:
    """Returns images at each level, from the finest, which is `images`, to the coarsest; pure.

    Args:
        images: float32 [B, H, W, C].
        count: at least 1.
    """
    found = [images]
    while len(found) < count:
        found.append(reduce(found[-1]))
    return found


def bands(images: jax.Array, count: int) -> list[jax.Array]:
    """Returns the pyramid of images: the bands from the finest, then the coarsest level; pure.

    Args:
        images: float32 [B, H, W, C].
        count: the number of levels, at least 1.
    """
    *finer, coarsest = every = levels(images, count)
    coarser = (expand(each, one.shape[1:3]) for one, each in zip(finer, every[1:], strict=True))
    return [one - each for one, each in zip(finer, coarser, strict=True)] + [coarsest]


def rebuild(pyramid: Sequence[jax.Array]) -> jax.Array:
    """Returns the images of a pyramid as `bands` makes it, float32 [B, H, W, C]; pure."""
    *finer, images = pyramid
    for band in reversed(finer):
        images = expand(images, band.shape[1:3]) + band
    return images
