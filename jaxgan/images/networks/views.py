"""The networks of VariGAN's first stage (Zhao et al. 2018): small images of another view."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks import dcgan
from jaxgan.images.networks.refinement import average_areas
from jaxgan.images.networks.stacked import spread
from jaxgan.images.stages import enlarge
from jaxgan.methods.variational import draw_normal


class ViewEncoder(nn.Module):
    """The Gaussian q(z | x, y, v) of diagonal covariance: what x does not show of y.

    Attributes:
        features: channels of the first layer, which DCGAN's other layers follow.
        latent: numbers of z.
        dtype: the dtype of the convolutions.
    """

    features: int
    latent: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array, view: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the mean and the log variance of z, float32 [B, latent] each.

        Args:
            x: the image of the known view, float32 [B, S, S, C].
            y: that of the wanted one, likewise.
            view: v, the wanted view, float32 [B, 1].
        """
        seen = spread(view, jnp.concatenate([x, y], axis=-1))
        network = dcgan.Discriminator(self.features, "layer", 2 * self.latent, dtype=self.dtype)
        mean, log_variance = jnp.split(network(seen), 2, axis=-1)
        return mean, log_variance


class ViewGenerator(nn.Module):
    """Makes another view of an image, the mean of p(y | x, v, z).

    Attributes:
        shape: (S, S, C) of an image.
        features: channels of the first layer of the encoder of x, and of the largest map of the
            decoder.
        hidden: numbers that x is encoded in, at least 2.
        dtype: the dtype of the convolutions.
    """

    shape: Sequence[int]
    features: int
    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, view: jax.Array, z: jax.Array) -> jax.Array:
        """Returns images from -1 to 1, float32 [B, S, S, C].

        Args:
            x: the image of the known view, float32 [B, S, S, C].
            view: v, the wanted view, float32 [B, 1].
            z: float32 [B, latent].
        """
        encoder = dcgan.Discriminator(self.features, "layer", self.hidden, dtype=self.dtype)
        codes = jnp.concatenate([encoder(x), view, z], axis=-1)
        made: jax.Array = dcgan.Generator(tuple(self.shape), self.features, "layer", self.dtype)(
            codes
        )
        return made


class CoarseViews(nn.Module):
    """The conditional variational autoencoder of the first stage: q and p, of reduced images.

    Attributes:
        shape: (S, S, C) of an image.
        factor: the factor by which images are reduced; it divides S.
        features: see `ViewEncoder` and `ViewGenerator`.
        hidden: see `ViewGenerator`.
        latent: numbers of z.
        dtype: the dtype of the convolutions.
    """

    shape: Sequence[int]
    factor: int
    features: int
    hidden: int
    latent: int
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Makes both networks."""
        small = (*(side // self.factor for side in self.shape[:2]), self.shape[-1])
        self.encoder = ViewEncoder(self.features, self.latent, self.dtype)
        self.generator = ViewGenerator(small, self.features, self.hidden, self.dtype)

    def __call__(
        self, x: jax.Array, y: jax.Array, view: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the difference of y and of what p makes of z from q; and q.

        Args:
            x: the image of the known view, float32 [B, S, S, C].
            y: that of the wanted one, likewise.
            view: v, the wanted view, float32 [B, 1].
            key: the PRNG key of z.

        Returns:
            float32 [B, s, s, C], of reduced images, and the mean and log variance of q [B, latent].
        """
        x, y = self._reduce(x), self._reduce(y)
        gaussian = self.encoder(x, y, view)
        return y - self.generator(x, view, draw_normal(*gaussian, key)), *gaussian

    def draw(self, x: jax.Array, view: jax.Array, key: jax.Array) -> jax.Array:
        """Returns enlarged images of another view, float32 [B, S, S, C], with z from N(0, I)."""
        z = jax.random.normal(key, (len(x), self.latent))
        return enlarge(self.generator(self._reduce(x), view, z), self.shape[0])

    def _reduce(self, images: jax.Array) -> jax.Array:
        return average_areas(images, [side // self.factor for side in self.shape[:2]])
