"""The networks of SRGAN (Ledig et al., CVPR 2017, section 2.1 and figure 4)."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks.dcgan import SLOPE, halving

KERNEL, LARGE = (3, 3), (9, 9)
MOMENTUM = 0.9
"""The momentum of the running statistics of batch normalisation."""


def reduce_images(images: jax.Array, factor: int) -> jax.Array:
    """Returns images with `factor` times fewer rows and columns, by an antialiased cubic filter.

    The filter is that of Pillow's BICUBIC, so an image that Pillow has reduced and enlarged becomes
    nearly what it was before it was enlarged.

    Args:
        images: float32 [B, H, W, C], H and W multiples of the factor.
        factor: at least 1.
    """
    count, height, width, channels = images.shape
    shape = count, height // factor, width // factor, channels
    return jax.image.resize(images, shape, "cubic", precision=jax.lax.Precision.HIGHEST)


def sub_pixels(x: jax.Array, factor: int = 2) -> jax.Array:
    """Returns maps of `factor` times as many rows and columns, [B, factor H, factor W, C].

    Every pixel becomes a block whose values were its channels (Shi et al. 2016, equation 4): value
    c of the pixel at (factor i + u, factor j + v) is channel (u factor + v) C + c of x at (i, j).

    Args:
        x: [B, H, W, factor^2 C].
        factor: at least 1.
    """
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height, width, factor, factor, channels // factor**2)
    return blocks.swapaxes(2, 3).reshape(count, height * factor, width * factor, -1)


class SRResNet(nn.Module):
    """Restores images that lack detail, and keeps their size.

    It works on the image reduced by the factor, as the paper's network does: a 9 x 9 convolution,
    residual blocks, a connection around them, layers of sub-pixels that each double the size, and a
    9 x 9 convolution.

    Attributes:
        features: channels of every layer; 64 in the paper.
        blocks: the number of residual blocks; 16 in the paper.
        factor: a power of 2; 4 in the paper.
        channels: the number of channels of the result.
        dtype: the dtype of the convolutions.
    """

    features: int
    blocks: int
    factor: int
    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Returns images, unbounded, float32 [B, S, S, channels].

        Args:
            x: float32 [B, S, S, C] from -1 to 1, S a multiple of the factor.
            train: batch normalisation uses the batch's own statistics, not the running ones.
        """
        x = reduce_images(x, self.factor).astype(self.dtype)
        x = first = nn.PReLU(negative_slope_init=0.25)(self._convolution(self.features, LARGE)(x))
        for _ in range(self.blocks):
            y = self._normalised(x, train)
            x = x + self._normalised(nn.PReLU(negative_slope_init=0.25)(y), train)
        x = first + self._normalised(x, train)
        for _ in range(round(math.log2(self.factor))):
            x = sub_pixels(self._convolution(4 * self.features, KERNEL)(x))
            x = nn.PReLU(negative_slope_init=0.25)(x)
        return self._convolution(self.channels, LARGE)(x).astype(jnp.float32)

    def _convolution(self, features: int, kernel_size: tuple[int, int]) -> nn.Conv:
        return nn.Conv(features, kernel_size, dtype=self.dtype)

    def _normalised(self, x: jax.Array, train: bool) -> jax.Array:
        x = self._convolution(self.features, KERNEL)(x)
        return nn.BatchNorm(not train, momentum=MOMENTUM, dtype=self.dtype)(x)


class SRDiscriminator(nn.Module):
    """Says whether an image is real: convolutions, one after the other, and a hidden layer.

    Every second convolution halves the map, and the one after it doubles the channels, as in VGG;
    there are no residual blocks. The hidden layer has twice as many units as the last map channels.

    Attributes:
        features: channels of the first layer; 64 in the paper.
        levels: pairs of convolutions; 4 in the paper.
        dtype: the dtype of the convolutions.
    """

    features: int
    levels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Returns raw outputs, float32 [B], for x float32 [B, S, S, C]; `train` as in SRResNet."""
        x = x.astype(self.dtype)
        for level in range(self.levels):
            width = self.features * 2**level
            for strided in (False, True):
                options: dict[str, Any] = {"conv_general_dilated": halving} if strided else {}
                strides = (2, 2) if strided else (1, 1)
                x = nn.Conv(width, KERNEL, strides, dtype=self.dtype, **options)(x)
                if level or strided:
                    x = nn.BatchNorm(not train, momentum=MOMENTUM, dtype=self.dtype)(x)
                x = nn.leaky_relu(x, SLOPE)
        x = nn.Dense(2 * x.shape[-1], dtype=self.dtype)(x.reshape(len(x), -1))
        x = nn.Dense(1, dtype=self.dtype)(nn.leaky_relu(x, SLOPE))
        return x[:, 0].astype(jnp.float32)
