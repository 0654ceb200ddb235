"""Autoencoders, which EBGAN and BEGAN use as discriminators."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.images.networks import dcgan, mlp

SMALLEST = 8
"""The least side of BEGAN's feature maps, in its section 3.5; 28 is halved down to 7."""
KERNEL = (3, 3)


class MLPAutoencoder(nn.Module):
    """Fully connected layers down to a code and up again.

    Attributes:
        widths: the widths of the encoder's hidden layers; the decoder has them in reverse order.
        code: numbers in a code.
        dtype: the dtype of the matrix products.
    """

    widths: tuple[int, ...]
    code: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> tuple[jax.Array, jax.Array]:
        """Returns the reconstructions and the codes; `train` changes nothing.

        Args:
            x: float32 [B, ...], points, or images from -1 to 1.
            train: see above.

        Returns:
            float32 of x's shape, and float32 [B, code].
        """
        codes = mlp.MLP(self.widths, self.code, slope=0.2, dtype=self.dtype)(x)
        decoder = mlp.MLPGenerator(self.widths[::-1], x.shape[1:], self.dtype)
        return decoder(codes, train), codes


class DCGANAutoencoder(nn.Module):
    """DCGAN's discriminator as the encoder, and its generator as the decoder.

    Attributes:
        features: channels of the largest hidden map.
        code: numbers in a code; at least 2.
        normalisation: see `dcgan.normalise`.
        dtype: the dtype of the convolutions.
    """

    features: int
    code: int
    normalisation: str = "batch"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> tuple[jax.Array, jax.Array]:
        """Returns the reconstructions and the codes.

        Args:
            x: float32 [B, H, W, C] from -1 to 1.
            train: batch normalisation uses the batch's own statistics.

        Returns:
            float32 of x's shape, and float32 [B, code].
        """
        kind, dtype = self.normalisation, self.dtype
        codes = dcgan.Discriminator(self.features, kind, self.code, dtype=dtype)(x, train)
        return dcgan.Generator(x.shape[1:], self.features, kind, dtype)(codes, train), codes


class Decoder(nn.Module):
    """BEGAN's decoder, which is also its generator: convolutions, ELUs, nearest neighbours.

    Attributes:
        shape: (H, W, C) of an image, H equal to W.
        features: channels of every hidden map; n of the paper.
        dtype: the dtype of the convolutions.
    """

    shape: tuple[int, ...]
    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = True) -> jax.Array:
        """Returns images, float32 [B, H, W, C], without a bound, for z [B, ...].

        `train` changes nothing.
        """
        del train
        sides = dcgan.sizes(self.shape[0], SMALLEST)
        x = z.reshape(len(z), -1).astype(self.dtype)
        x = nn.Dense(sides[0] ** 2 * self.features, dtype=self.dtype)(x)
        x = x.reshape(len(z), sides[0], sides[0], self.features)
        for side in sides:
            if side != sides[0]:
                x = x.repeat(2, axis=1).repeat(2, axis=2)[:, :side, :side]
            for _ in range(2):
                x = nn.elu(nn.Conv(self.features, KERNEL, dtype=self.dtype)(x))
        return nn.Conv(self.shape[-1], KERNEL, dtype=self.dtype)(x).astype(jnp.float32)


class Autoencoder(nn.Module):
    """BEGAN's discriminator (Berthelot, Schumm and Metz 2017, section 3.5).

    The encoder has two convolutions with ELUs at every size, and strided ones between them; n
    features at the largest size, 2n at the next, 3n, ... There is no normalisation.

    Attributes:
        features: n.
        code: numbers in a code.
        dtype: the dtype of the convolutions.
    """

    features: int
    code: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> tuple[jax.Array, jax.Array]:
        """Returns the reconstructions and the codes; `train` changes nothing.

        Args:
            x: float32 [B, H, W, C] from -1 to 1.
            train: see above.

        Returns:
            float32 of x's shape, and float32 [B, code].
        """
        shape, sides = x.shape[1:], dcgan.sizes(x.shape[1], SMALLEST)
        x = nn.elu(nn.Conv(self.features, KERNEL, dtype=self.dtype)(x.astype(self.dtype)))
        for level in range(1, len(sides) + 1):
            for _ in range(2):
                x = nn.elu(nn.Conv(level * self.features, KERNEL, dtype=self.dtype)(x))
            if level < len(sides):
                width = (level + 1) * self.features
                x = nn.elu(nn.Conv(width, KERNEL, (2, 2), dtype=self.dtype)(x))
        codes = nn.Dense(self.code, dtype=self.dtype)(x.reshape(len(x), -1)).astype(jnp.float32)
        return Decoder(shape, self.features, self.dtype)(codes, train), codes


AUTOENCODERS = {"mlp": MLPAutoencoder, "dcgan": DCGANAutoencoder}
"""By `config.network`."""
