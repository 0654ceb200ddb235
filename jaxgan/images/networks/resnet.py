"""The residual generator of CycleGAN (Zhu et al., ICCV 2017, appendix 7.2), for any image size."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks.dcgan import INIT, Doubling, halving
from jaxgan.images.networks.unet import instance_norm

SMALL, LARGE = (3, 3), (7, 7)


class ResNetGenerator(nn.Module):
    """Turns images into images of the same size.

    A 7 x 7 convolution, two that halve the map, residual blocks, two that double it, and a 7 x 7
    convolution. Borders are reflected; instance normalisation without learned factors everywhere
    but in the last layer.

    Attributes:
        features: channels of the first layer; 64 in the paper.
        blocks: the number of residual blocks; in the paper 6 for images of 128 x 128 and 9 for
            larger ones.
        channels: the number of channels of the result.
        dtype: the dtype of the convolutions.
    """

    features: int
    blocks: int
    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns images from -1 to 1, float32 [B, S, S, channels].

        Args:
            x: float32 [B, S, S, C], S at least 5.
        """
        sides = [x.shape[1], -(-x.shape[1] // 2)]
        x = nn.relu(self._normalise(self._same(self.features, LARGE)(x.astype(self.dtype))))
        for level in (1, 2):
            x = nn.Conv(
                self.features * 2**level,
                SMALL,
                (2, 2),
                dtype=self.dtype,
                kernel_init=INIT,
                conv_general_dilated=halving,
            )(x)
            x = nn.relu(self._normalise(x))
        for _ in range(self.blocks):
            width = 4 * self.features
            y = nn.relu(self._normalise(self._same(width, SMALL)(x)))
            x = x + self._normalise(self._same(width, SMALL)(y))
        for level in (1, 0):
            side = sides[level]
            x = Doubling(self.features * 2**level, True, self.dtype, SMALL)(x)[:, :side, :side]
            x = nn.relu(self._normalise(x))
        x = self._same(self.channels, LARGE)(x)
        return jnp.tanh(x.astype(jnp.float32))

    def _same(self, features: int, kernel_size: tuple[int, int]) -> nn.Conv:
        """Returns a convolution of stride 1 that reflects borders, so that the size stays."""
        return nn.Conv(features, kernel_size, padding="REFLECT", dtype=self.dtype, kernel_init=INIT)

    def _normalise(self, x: jax.Array) -> jax.Array:
        return instance_norm(x, self.dtype, learned=False)
