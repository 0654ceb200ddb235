"""The U-Net generator of pix2pix (Isola et al., CVPR 2017, section 6.1), for any image size."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks.dcgan import INIT, SLOPE, Doubling, halving, sizes

KERNEL = (4, 4)
WIDEST = 8
"""The channels of the widest layers over those of the first layer: 512 for 64."""
DROPPED = 3
"""The layers of the decoder, from the narrowest map on, that have dropout."""


class UNet(nn.Module):
    """Turns images into images of the same size.

    The encoder halves maps, rounded up, down to the smallest; the decoder doubles them and
    reads the encoder's map of the same size, too. At 256 with 64 features this is the paper's
    network of eight levels, whose smallest map is one pixel.

    The paper's batch normalisation with batches of one image, in training and in use, is instance
    normalisation, which this network has whatever the batch is. Maps of a single pixel have none,
    because it would make them 0.

    Attributes:
        features: channels of the first layer; 64 in the paper. Each level doubles them, up to
            `WIDEST` times.
        dropout: the share of values that dropout removes; 0.5 in the paper.
        channels: the number of channels of the result.
        smallest: the least side of the smallest map; 1 in the paper.
        dtype: the dtype of the convolutions.
    """

    features: int
    dropout: float
    channels: int
    smallest: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *others: jax.Array) -> jax.Array:
        """Returns images from -1 to 1, float32 [B, S, S, channels].

        Dropout is the noise of the generator, so it is never off: give `apply` a key for "dropout"
        unless `dropout` is 0.

        Args:
            x: float32 [B, S, S, C], S above `smallest`.
            others: further images, likewise, each with an encoder of its own. The decoder reads the
                maps of all encoders.
        """
        sides = sizes(x.shape[1], self.smallest)
        widths = [self.features * min(2**level, WIDEST) for level in range(len(sides) - 1)]
        paths = zip(*(self._encode(each, widths) for each in (x, *others)), strict=True)
        maps = [jnp.concatenate(path, axis=-1) for path in paths]
        x = maps.pop()
        for level in reversed(range(len(widths))):
            side = sides[-1 - level]
            width = widths[level - 1] if level else self.channels
            x = Doubling(width, not level, self.dtype, KERNEL)(nn.relu(x))[:, :side, :side]
            if level:
                x = instance_norm(x, self.dtype)
                if len(widths) - 1 - level < DROPPED:
                    x = nn.Dropout(self.dropout, deterministic=False)(x)
                x = jnp.concatenate([x, maps.pop()], axis=-1)
        return jnp.tanh(x.astype(jnp.float32))

    def _encode(self, x: jax.Array, widths: Sequence[int]) -> list[jax.Array]:
        """Returns the maps of an encoder, from the largest to the smallest, [B, h, w, width]."""
        x = x.astype(self.dtype)
        maps = []
        for level, width in enumerate(widths):
            if level:
                x = nn.leaky_relu(x, SLOPE)
            plain = level == 0 or level == len(widths) - 1
            x = nn.Conv(
                width,
                KERNEL,
                (2, 2),
                use_bias=plain,
                dtype=self.dtype,
                kernel_init=INIT,
                conv_general_dilated=halving,
            )(x)
            if not plain:
                x = instance_norm(x, self.dtype)
            maps.append(x)
        return maps


def instance_norm(x: jax.Array, dtype: jnp.dtype, learned: bool = True) -> jax.Array:
    """Returns every map of every image with mean 0 and variance 1; call it in a compact method.

    Args:
        x: [B, H, W, C].
        dtype: the dtype of the result.
        learned: whether a factor and an offset of each channel are learned.
    """
    scale = nn.initializers.normal(0.02)  # around 1, as in the authors' code
    layer = nn.InstanceNorm(
        epsilon=1e-5,  # of the authors' framework
        use_bias=learned,
        use_scale=learned,
        scale_init=lambda *shape: 1 + scale(*shape),
        dtype=dtype,
    )
    normalised: jax.Array = layer(x)
    return normalised
