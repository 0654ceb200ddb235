"""The discriminator of patches of pix2pix and CycleGAN (Isola et al. 2017, section 6.1.2)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks.dcgan import INIT, SLOPE, halving
from jaxgan.images.networks.unet import instance_norm

KERNEL = (4, 4)
WIDEST = 8
"""The channels of the widest layers over those of the first layer: 512 for 64."""


def halvings(side: int) -> int:
    """Returns how many convolutions of stride 2 the discriminator of images of a side has.

    At 256 it is three, for patches of 70 x 70 pixels as in the paper; at 128 two, for 34; below it
    is one, for 16: about a quarter of the image.
    """
    return min(max(int(math.log2(side)) - 5, 1), 3)


class PatchDiscriminator(nn.Module):
    """Judges every patch of an image separately.

    Attributes:
        features: channels of the first layer; each further layer has twice as many, up to `WIDEST`
            times. The paper has 64.
        normalised: whether all but the first and the last layer have instance normalisation, with
            which the rest of an image has a small influence on every patch.
        dtype: the dtype of the convolutions.
    """

    features: int
    normalised: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the raw output for each patch, float32 [B, h, w], for x float32 [B, S, S, C]."""
        strided = halvings(x.shape[1])
        x = x.astype(self.dtype)
        for level in range(strided):
            x = self._convolution(level, True)(x)
            x = nn.leaky_relu(self._normalise(x) if level else x, SLOPE)
        x = self._normalise(self._convolution(strided, False)(x))
        x = nn.Conv(1, KERNEL, padding=1, dtype=self.dtype, kernel_init=INIT)(
            nn.leaky_relu(x, SLOPE)
        )
        return x[..., 0].astype(jnp.float32)

    def _convolution(self, level: int, strided: bool) -> nn.Conv:
        options = {"conv_general_dilated": halving} if strided else {"padding": 1}
        return nn.Conv(
            self.features * min(2**level, WIDEST),
            KERNEL,
            (2, 2) if strided else (1, 1),
            dtype=self.dtype,
            kernel_init=INIT,
            **options,
        )

    def _normalise(self, x: jax.Array) -> jax.Array:
        return instance_norm(x, self.dtype) if self.normalised else x
