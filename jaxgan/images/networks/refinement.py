"""The cascaded refinement network (Chen and Koltun, ICCV 2017, section 3), for any image size."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.images.networks.dcgan import SLOPE, sizes

LARGE = 128
"""Modules of at least this side have half as many channels."""


def averaging(side: int, smaller: int) -> np.ndarray:
    """Returns the matrix that averages a row of pixels over areas, float32 [smaller, side]."""
    edges = np.arange(smaller + 1) * side / smaller
    pixels = np.arange(side)
    overlaps = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(overlaps, 0) * smaller / side).astype(np.float32)


def average_areas(images: jax.Array, size: Sequence[int]) -> jax.Array:
    """Returns images of fewer pixels, each the mean of the area it covers, [B, h, w, C]; pure.

    Args:
        images: float32 [B, H, W, C].
        size: h and w, at most H and W.
    """
    matrices = (averaging(*sides) for sides in zip(images.shape[1:3], size, strict=True))
    return jnp.einsum("bhwc,ih,jw->bijc", images, *matrices, precision="highest")


class CascadedRefinement(nn.Module):
    """Turns layouts into images, by modules of growing size that each read the layout again.

    A module doubles the map of the one before it by bilinear interpolation, joins it to the
    averaged layout, and has two 3 x 3 convolutions with layer normalisation. The first module's map
    has a side of at most `smallest`. A 1 x 1 convolution makes the images.

    Attributes:
        features: channels of modules below `LARGE` pixels; 1024 in the paper, and then 512.
        images: k, how many are made of a layout.
        channels: the number of channels of an image.
        smallest: the greatest side of the first map; 4 in the paper, for images twice as wide.
        dtype: the dtype of the convolutions.
    """

    features: int
    images: int
    channels: int
    smallest: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, layouts: jax.Array) -> jax.Array:
        """Returns images, unbounded, float32 [B, k, S, S, channels].

        Args:
            layouts: float32 [B, S, S, codes], one-hot.
        """
        count, size = layouts.shape[:2]
        x = jnp.zeros((count, 1, 1, 0))
        for side in sizes(size, self.smallest):
            width = self.features if side < LARGE else self.features // 2
            larger = jax.image.resize(x, (count, side, side, x.shape[-1]), "linear")
            x = jnp.concatenate([larger, average_areas(layouts, (side, side))], axis=-1)
            for _ in range(2):
                x = nn.Conv(width, (3, 3), use_bias=False, dtype=self.dtype)(x)
                x = nn.LayerNorm(reduction_axes=(1, 2, 3), dtype=self.dtype)(x)
                x = nn.leaky_relu(x, SLOPE)
        x = nn.Conv(self.images * self.channels, (1, 1), dtype=self.dtype)(x)
        x = x.reshape(count, size, size, self.images, self.channels)
        return jnp.moveaxis(x, 3, 1).astype(jnp.float32)
