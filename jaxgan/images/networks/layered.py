"""The generator of the composite GAN, which blends several layers (Kwak and Zhang 2016)."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.images.networks import dcgan, mlp

BLACK = -1.0


class Layered(NamedTuple):
    """Images and the layers that they are made of.

    Attributes:
        images: float32 [B, H, W, C] from -1 to 1, all layers blended.
        colours: float32 [B, layers, H, W, C] from -1 to 1.
        opacities: float32 [B, layers, H, W] from 0 to 1; alpha of the paper.
    """

    images: jax.Array
    colours: jax.Array
    opacities: jax.Array


def blend(colours: jax.Array, opacities: jax.Array) -> jax.Array:
    """Returns images in which each layer covers those before it by its opacity.

    O_t = (1 - alpha_t) O_(t-1) + alpha_t C_t, and O_0 is black.

    Args:
        colours: as in `Layered`.
        opacities: likewise.
    """
    images = jnp.full_like(colours[:, 0], BLACK)
    for layer in range(colours.shape[1]):
        opacity = opacities[:, layer, ..., None]
        images = (1 - opacity) * images + opacity * colours[:, layer]
    return images


class LayeredGenerator(nn.Module):
    """A recurrent network reads a latent code for each layer; each layer has a generator.

    Attributes:
        generators: for each layer, (h [B, width], train) -> [B, H, W, C + 1] without a bound, whose
            last channel gives the opacity.
        width: the width of the recurrent network's state h.
    """

    generators: Sequence[nn.Module]
    width: int

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = True) -> Layered:
        """Returns images for z, float32 [B, latent], of which each layer has an equal part."""
        cell = nn.OptimizedLSTMCell(self.width)
        carry = jnp.zeros((len(z), self.width)), jnp.zeros((len(z), self.width))
        made = []
        for generator, code in zip(
            self.generators, jnp.split(z, len(self.generators), axis=-1), strict=True
        ):
            carry, h = cell(carry, code)
            made.append(generator(h, train))
        layers = jnp.stack(made, axis=1)
        colours, opacities = jnp.tanh(layers[..., :-1]), nn.sigmoid(layers[..., -1])
        return Layered(blend(colours, opacities), colours, opacities)


def fully_connected(
    shape: tuple[int, ...], dtype: jnp.dtype, widths: Sequence[int], layers: int, width: int
) -> LayeredGenerator:
    """Returns a generator of fully connected layers.

    Args:
        shape: the shape of an image.
        dtype: the dtype of the matrix products.
        widths: the widths of the hidden layers of each generator.
        layers: the number of layers of an image.
        width: see `LayeredGenerator`.
    """
    with_opacity = (*shape[:-1], shape[-1] + 1)
    return LayeredGenerator(
        [mlp.MLPGenerator(widths, with_opacity, dtype, bounded=False) for _ in range(layers)], width
    )


def convolutional(
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    features: int,
    normalisation: str,
    layers: int,
    width: int,
) -> LayeredGenerator:
    """Returns a generator whose layers are made by DCGAN's generators.

    Args:
        shape: the shape of an image.
        dtype: the dtype of the convolutions.
        features: channels of the largest hidden map of each generator.
        normalisation: see `dcgan.normalise`.
        layers: the number of layers of an image.
        width: see `LayeredGenerator`.
    """
    with_opacity = (*shape[:-1], shape[-1] + 1)
    return LayeredGenerator(
        [
            dcgan.Generator(with_opacity, features, normalisation, dtype, bounded=False)
            for _ in range(layers)
        ],
        width,
    )


GENERATORS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": fully_connected,
    "dcgan": convolutional,
}
"""By `config.network`."""
