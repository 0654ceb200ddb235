"""Networks of fully connected layers, for points and small images."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLP(nn.Module):
    """Fully connected layers with ReLUs between them.

    Attributes:
        widths: the widths of the hidden layers.
        outputs: the number of outputs of the last layer, which has no activation.
        slope: the slope for negative values; 0 for a ReLU, otherwise a LeakyReLU.
        dtype: the dtype of the matrix products; parameters are float32.
    """

    widths: Sequence[int]
    outputs: int
    slope: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns float32 [B, outputs] for x [B, ...]."""
        x = x.reshape(len(x), -1).astype(self.dtype)
        for width in self.widths:
            x = nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), self.slope)
        return nn.Dense(self.outputs, dtype=self.dtype)(x).astype(jnp.float32)


class MLPGenerator(nn.Module):
    """Maps latent codes to images or points.

    Attributes:
        widths: the widths of the hidden layers.
        shape: the shape of a sample; (2,) for points, which are unbounded, otherwise images from -1
            to 1.
        dtype: the dtype of the matrix products.
        bounded: whether images end in a tanh.
    """

    widths: Sequence[int]
    shape: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32
    bounded: bool = True

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = True) -> jax.Array:
        """Returns float32 [B, *shape] for z [B, ...]; `train` changes nothing."""
        del train
        x = MLP(self.widths, math.prod(self.shape), dtype=self.dtype)(z)
        x = x.reshape(len(z), *self.shape)
        return jnp.tanh(x) if self.bounded and len(self.shape) == 3 else x


class MLPDiscriminator(nn.Module):
    """Maps images or points to numbers.

    Attributes:
        widths: the widths of the hidden layers.
        outputs: the number of outputs of the last layer.
        dtype: the dtype of the matrix products.
    """

    widths: Sequence[int]
    outputs: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Returns the raw outputs, float32 [B], or [B, outputs] if there are several.

        Args:
            x: [B, ...].
            train: changes nothing.
        """
        del train
        x = MLP(self.widths, self.outputs, slope=0.2, dtype=self.dtype)(x)
        return x[:, 0] if self.outputs == 1 else x
