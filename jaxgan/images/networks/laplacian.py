"""The networks of LAPGAN (Denton et al. 2015): a pair for each level of a Laplacian pyramid."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.images.networks.classifier import HalvingConv
from jaxgan.images.networks.mlp import MLP, MLPGenerator
from jaxgan.images.pyramid import expand, halved


def shapes(shape: tuple[int, ...], levels: int) -> tuple[tuple[int, ...], ...]:
    """Returns the shape (H, W, C) of an image at each level, from the finest."""
    found = [shape]
    while len(found) < levels:
        height, width, channels = found[-1]
        found.append((halved(height), halved(width), channels))
    return tuple(found)


class Band(nn.Module):
    """Adds a band of detail to a blurred image: three convolutions, of the image and of noise.

    Attributes:
        features: channels of the hidden layers.
        dtype: the dtype of the convolutions.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, blurred: jax.Array, noise: jax.Array) -> jax.Array:
        """Returns the band, unbounded, float32 [B, H, W, C].

        Args:
            blurred: float32 [B, H, W, C].
            noise: float32 [B, H, W, 1].
        """
        x = jnp.concatenate([blurred, noise], axis=-1).astype(self.dtype)
        for _ in range(2):
            x = nn.relu(nn.Conv(self.features, (7, 7), dtype=self.dtype)(x))
        return nn.Conv(blurred.shape[-1], (5, 5), dtype=self.dtype)(x).astype(jnp.float32)


class Generators(nn.Module):
    """The generators of all levels.

    Attributes:
        shapes: the shapes of an image at each level, from the finest.
        latent: numbers in a latent code of the coarsest level.
        widths: the widths of the hidden layers at the coarsest level.
        features: channels of the hidden layers at the other levels.
        dtype: the dtype of the computation.
    """

    shapes: Sequence[tuple[int, ...]]
    latent: int
    widths: Sequence[int]
    features: int
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Makes a network for each level."""
        self.coarsest = MLPGenerator(self.widths, self.shapes[-1], self.dtype)
        self.bands = [Band(self.features, self.dtype) for _ in self.shapes[1:]]

    def __call__(self, codes: jax.Array, noise: Sequence[jax.Array]) -> jax.Array:
        """Returns images, float32 [B, H, W, C], made from the coarsest level to the finest.

        Args:
            codes: float32 [B, latent], of the coarsest level.
            noise: float32 [B, H, W, 1] of every other level, from the finest.
        """
        images = self.level(len(self.bands), codes)
        for level in reversed(range(len(self.bands))):
            images = self.level(level, noise[level], images)
        return images

    def level(self, level: int, noise: jax.Array, coarser: jax.Array | None = None) -> jax.Array:
        """Returns images of a level, float32 [B, H, W, C].

        Args:
            level: the number of the level, from 0, the finest.
            noise: float32 [B, H, W, 1]; at the coarsest level latent codes, [B, latent].
            coarser: images of the next coarser level, [B, h, w, C]; the coarsest uses none.
        """
        if coarser is None or level == len(self.bands):
            return self.coarsest(noise)
        blurred = expand(coarser, self.shapes[level][:2])
        return blurred + self.bands[level](blurred, noise)


def draw_noise(network: Generators, key: jax.Array, count: int) -> list[jax.Array]:
    """Returns the noise of each level, uniform from -1 to 1, for `count` images.

    Returns:
        From the finest level float32 [count, H, W, 1], and finally codes [count, latent].
    """
    maps = [(height, width, 1) for height, width, _ in network.shapes[:-1]]
    forms = [*maps, (network.latent,)]
    ends = np.cumsum([math.prod(form) for form in forms])
    # A single draw, because each takes seconds to compile.
    drawn = jax.random.uniform(key, (count, ends[-1]), minval=-1.0)
    parts = jnp.split(drawn, ends[:-1], axis=1)
    return [part.reshape(count, *form) for part, form in zip(parts, forms, strict=True)]


class LevelDiscriminator(nn.Module):
    """Says whether images of a level are real, and has dropout before its last layer.

    Attributes:
        features: channels of two convolutions that halve the map; 0 for fully connected layers.
        widths: the widths of the hidden layers without convolutions.
        dropout: the share of values that dropout removes.
        dtype: the dtype of the computation.
    """

    features: int
    widths: Sequence[int]
    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns raw outputs, float32 [B], for x float32 [B, H, W, C].

        Dropout is always on, because D is used in training only: give a key for "dropout".
        """
        if self.features:
            for _ in range(2):
                x = nn.relu(HalvingConv(self.features, self.dtype)(x.astype(self.dtype)))
        else:
            *before, last = self.widths
            x = nn.relu(MLP(before, last, dtype=self.dtype)(x))
        x = nn.Dropout(self.dropout, deterministic=False)(x.reshape(len(x), -1))
        return nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)


class Discriminators(nn.Module):
    """The discriminators of all levels, each of which sees images of its level: blurred plus band.

    Attributes:
        levels: the number of levels.
        widths: the widths of the hidden layers at the coarsest level.
        features: channels of the convolutions at the other levels.
        dropout: the share of values that dropout removes.
        dtype: the dtype of the computation.
    """

    levels: int
    widths: Sequence[int]
    features: int
    dropout: float
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Makes a network for each level."""
        self.each = [
            LevelDiscriminator(
                self.features if level < self.levels - 1 else 0,
                self.widths,
                self.dropout,
                self.dtype,
            )
            for level in range(self.levels)
        ]

    def __call__(self, every: Sequence[jax.Array]) -> list[jax.Array]:
        """Returns raw outputs, float32 [B] for the images of each level, from the finest."""
        return [self.judge(images, level) for level, images in enumerate(every)]

    def judge(self, images: jax.Array, level: int) -> jax.Array:
        """Returns raw outputs, float32 [B], for images of a level."""
        return self.each[level](images)
