"""GRAN's generator, which draws an image in several steps (Im, Kim, Jiang and Memisevic 2016)."""

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks import dcgan, mlp


class RecurrentGenerator(nn.Module):
    """Adds up the changes that one decoder draws at every step (the paper's section 3).

    The change of a step follows from the latent code and from the change of the step before, which
    the encoder reads; the first one reads zeros. Both networks are the same at every step. What the
    encoder returns goes through a tanh, as the latent code does; without it, changes of fully
    connected layers grew from step to step until every pixel was black or white.

    Attributes:
        encoder: (x [B, *shape], train) -> [B, code].
        decoder: (h [B, 2 code], train) -> [B, *shape], without a bound.
        shape: the shape of a sample.
        code: numbers that each of the latent code and the last change becomes.
        steps: T of the paper; with 1 the generator reads no change and is an ordinary one.
    """

    encoder: nn.Module
    decoder: nn.Module
    shape: tuple[int, ...]
    code: int
    steps: int

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = True) -> jax.Array:
        """Returns float32 [B, *shape], images from -1 to 1 or points without a bound.

        Args:
            z: float32 [B, latent].
            train: passed to both networks.
        """
        noise = nn.tanh(nn.Dense(self.code)(z))
        change = canvas = jnp.zeros((len(z), *self.shape))
        for _ in range(self.steps):
            read = nn.tanh(self.encoder(change, train))
            change = self.decoder(jnp.concatenate([noise, read], axis=-1), train)
            canvas = canvas + change
        # The paper's sigmoid, scaled to the range of the data.
        return 2 * nn.sigmoid(canvas) - 1 if len(self.shape) == 3 else canvas


def fully_connected(
    shape: tuple[int, ...], dtype: jnp.dtype, widths: Sequence[int], code: int, steps: int
) -> RecurrentGenerator:
    """Returns a recurrent generator of fully connected layers.

    Args:
        shape: the shape of a sample.
        dtype: the dtype of the matrix products.
        widths: the widths of the decoder's hidden layers; the encoder has them in reverse order.
        code: see `RecurrentGenerator`.
        steps: likewise.
    """
    encoder = mlp.MLPDiscriminator(tuple(widths)[::-1], code, dtype)
    decoder = mlp.MLPGenerator(widths, shape, dtype, bounded=False)
    return RecurrentGenerator(encoder, decoder, shape, code, steps)


def convolutional(
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    features: int,
    normalisation: str,
    code: int,
    steps: int,
) -> RecurrentGenerator:
    """Returns a recurrent generator of DCGAN's networks.

    Args:
        shape: the shape of an image.
        dtype: the dtype of the convolutions.
        features: channels of the largest hidden map, in both networks.
        normalisation: "layer" or "none". The running statistics of batch normalisation would mix
            the steps, whose changes differ, and sampling would use that mixture.
        code: see `RecurrentGenerator`.
        steps: likewise.
    """
    encoder = dcgan.Discriminator(features, normalisation, code, dtype=dtype)
    decoder = dcgan.Generator(shape, features, normalisation, dtype, bounded=False)
    return RecurrentGenerator(encoder, decoder, shape, code, steps)


GENERATORS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": fully_connected,
    "dcgan": convolutional,
}
"""By `config.network`."""
