"""Layouts: images that show only which code every pixel has, as one of a few evenly spaced greys.

The layout of an image of class k has the code 0 where the image is dark, and 1 + 3 k, 2 + 3 k or
3 + 3 k in its second, third and fourth quarter of brightness.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.images.data.batches import WHITE
from jaxgan.images.data.dataset import Images

LEVELS = 4
"""The levels that brightness is divided into. The darkest is the background of all classes."""


def count_codes(classes: int) -> int:
    """Returns how many codes the layouts of images of this many classes have."""
    return 1 + (LEVELS - 1) * classes


def draw_layouts(images: Images) -> np.ndarray:
    """Returns the layouts of images, uint8 [n, H, W, C], the same in all channels.

    Code i of n is the grey 255 i / (n - 1), rounded, so there may be at most 256 codes.

    Args:
        images: images whose classes are all known.
    """
    classes, values = len(images.classes), images.values
    codes = (LEVELS - 1) * np.arange(classes)[:, None] + np.arange(LEVELS)
    codes[:, 0] = 0
    greys = np.rint(codes * WHITE / (count_codes(classes) - 1)).astype(np.uint8)
    # Small integers, because there may be millions of pixels.
    sums = values.sum(axis=-1, keepdims=True, dtype=np.uint16)
    levels = (sums // (values.shape[-1] * (WHITE + 1) // LEVELS)).astype(np.uint8)
    found = np.empty_like(values)
    for image, label, level in zip(found, images.labels, levels, strict=True):
        image[...] = greys[label][level]
    return found


def read_codes(images: jax.Array, count: int) -> jax.Array:
    """Returns the code of every pixel of layouts, int32 [B, H, W], from 0 to count - 1; pure.

    Args:
        images: float32 [B, H, W, C] from -1 to 1; other greys count as the nearest one.
        count: the number of the codes.
    """
    shares = (images.mean(axis=-1) + 1) / 2
    return jnp.clip(jnp.rint(shares * (count - 1)), 0, count - 1).astype(jnp.int32)
