"""The networks of StackGAN (Zhang et al., ICCV 2017, sections 3.2 to 3.4)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.core.state import Player, PyTree
from jaxgan.images.networks.dcgan import (
    INIT,
    KERNEL,
    SLOPE,
    Doubling,
    Generator,
    halving,
    normalise,
    sizes,
    smallest_map,
)
from jaxgan.images.stages import FIRST, SECOND
from jaxgan.methods.variational import kl_to_standard_normal

SMALL = (3, 3)
PARTS = {FIRST: "first", SECOND: "second"}
"""The part of the parameters of `Generators` that belongs to a stage."""


def spread(condition: jax.Array, maps: jax.Array) -> jax.Array:
    """Returns maps with a condition joined to every pixel, [B, H, W, C + d]; pure.

    Args:
        condition: [B, d].
        maps: [B, H, W, C].
    """
    everywhere = (*maps.shape[:-1], condition.shape[-1])
    repeated = jnp.broadcast_to(condition[:, None, None], everywhere)
    return jnp.concatenate([maps, repeated.astype(maps.dtype)], axis=-1)


class Augmentation(nn.Module):
    """Conditioning augmentation: a Gaussian of diagonal covariance for each text.

    Attributes:
        size: numbers in a condition.
    """

    size: int

    @nn.compact
    def __call__(self, text: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the mean and the log variance, float32 [B, size] each, for text [B, words]."""
        mean, log_variance = jnp.split(nn.Dense(2 * self.size)(text), 2, axis=-1)
        return mean, log_variance


class Refiner(nn.Module):
    """Makes large images of small ones and of conditions, as the second stage of the paper.

    Convolutions halve a small image down to `smallest`, the condition joins every pixel of that
    map, residual blocks follow, and transposed convolutions double the map up to the large image.
    The paper doubles maps by nearest neighbours and a convolution.

    Attributes:
        side: the side of a large image.
        channels: the number of channels of an image.
        features: channels of the first layer; 128 in the paper. Each halving doubles them.
        smallest: the greatest side of the smallest map; 16 in the paper.
        blocks: the number of residual blocks; 4 in the paper for images of 256 x 256.
        normalisation: see `dcgan.normalise`.
        dtype: the dtype of the convolutions.
    """

    side: int
    channels: int
    features: int
    smallest: int
    blocks: int
    normalisation: str
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, small: jax.Array, condition: jax.Array, train: bool) -> jax.Array:
        """Returns images from -1 to 1, float32 [B, side, side, channels].

        Args:
            small: float32 [B, s, s, channels] from -1 to 1.
            condition: float32 [B, d].
            train: batch normalisation uses the batch's own statistics, not the running ones.
        """
        width, sides = self.features, sizes(small.shape[1], self.smallest)[1:]
        x = nn.relu(self._convolution(width)(small.astype(self.dtype)))
        for _ in sides:
            width *= 2
            x = nn.Conv(
                width,
                KERNEL,
                (2, 2),
                use_bias=False,
                dtype=self.dtype,
                kernel_init=INIT,
                conv_general_dilated=halving,
            )(x)
            x = nn.relu(self._normalise(x, train))
        x = nn.relu(self._normalise(self._convolution(width)(spread(condition, x)), train))
        for _ in range(self.blocks):
            y = nn.relu(self._normalise(self._convolution(width)(x), train))
            x = nn.relu(x + self._normalise(self._convolution(width)(y), train))
        larger = sizes(self.side, small.shape[1])[1:]
        for side in (*sides, *larger):
            width = max(width // 2, 1)
            x = Doubling(width, False, self.dtype)(x)[:, :side, :side]
            x = nn.relu(self._normalise(x, train))
        x = nn.Conv(self.channels, SMALL, dtype=self.dtype, kernel_init=INIT)(x)
        return jnp.tanh(x.astype(jnp.float32))

    def _convolution(self, width: int) -> nn.Conv:
        return nn.Conv(width, SMALL, use_bias=False, dtype=self.dtype, kernel_init=INIT)

    def _normalise(self, x: jax.Array, train: bool) -> jax.Array:
        return normalise(self.normalisation, train, self.dtype)(x)


class Stage(nn.Module):
    """The generator of a stage with its conditioning augmentation.

    Attributes:
        network: in the first stage, (`given` joined to the condition, train) -> images; in the
            second stage, a `Refiner`.
        condition: numbers in a condition.
        augmented: whether conditions are drawn; otherwise each is the mean.
    """

    network: nn.Module
    condition: int
    augmented: bool

    @nn.compact
    def __call__(
        self, given: jax.Array, noise: jax.Array, text: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns images, and the mean and the log variance of conditions.

        Args:
            given: latent codes [B, latent], or small images [B, s, s, C].
            noise: the noise of the conditions, float32 [B, condition], standard normal.
            text: float32 [B, words].
            train: see `Refiner`.
        """
        mean, log_variance = Augmentation(self.condition)(text)
        condition = mean + self.augmented * jnp.exp(log_variance / 2) * noise
        if given.ndim == 2:
            images = self.network(jnp.concatenate([given, condition], axis=-1), train)
        else:
            images = self.network(given, condition, train)
        return images, mean, log_variance


class Generators(nn.Module):
    """The generators of both stages.

    The input of all is an array of codes: z, the noise of both stages' conditions, and the text.

    Attributes:
        shape: (S, S, C) of a large image.
        factor: how many times smaller the images of the first stage are; 4 in the paper.
        latent: numbers of z.
        condition: numbers in a condition.
        augmented: see `Stage`.
        features: channels of the largest hidden map of the first stage, and of the first one of the
            second stage; 128 in the paper.
        smallest: see `Refiner`.
        blocks: likewise.
        normalisation: see `dcgan.normalise`.
        dtype: the dtype of the convolutions.
    """

    shape: tuple[int, ...]
    factor: int
    latent: int
    condition: int
    augmented: bool
    features: int
    smallest: int
    blocks: int
    normalisation: str
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Makes both stages."""
        side, channels = self.shape[0], self.shape[-1]
        small = (side // self.factor, side // self.factor, channels)
        kind = self.normalisation
        first = Generator(small, self.features, kind, self.dtype, parent=None)
        second = Refiner(
            side, channels, self.features, self.smallest, self.blocks, kind, self.dtype, parent=None
        )
        self.first, self.second = (
            Stage(network, self.condition, self.augmented) for network in (first, second)
        )

    def __call__(self, codes: jax.Array, train: bool = True) -> jax.Array:
        """Returns large images, float32 [B, S, S, C], for codes [B, latent + 2 condition + words].

        Args:
            codes: see above.
            train: see `Refiner`.
        """
        small, _, _ = self.small(codes, train)
        return self.large(codes, small, train)[0]

    def small(self, codes: jax.Array, train: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the first stage's images [B, s, s, C], and the mean and log variance of c."""
        latent, noise, _, text = self._split(codes)
        return self.first(latent, noise, text, train)

    def large(
        self, codes: jax.Array, small: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the second stage's images of small ones, and the mean and log variance of c."""
        _, _, noise, text = self._split(codes)
        return self.second(small, noise, text, train)

    def _split(self, codes: jax.Array) -> list[jax.Array]:
        start, size = self.latent, self.condition
        return jnp.split(codes, [start, start + size, start + 2 * size], axis=-1)


class TextDiscriminator(nn.Module):
    """Says whether an image is real and has a text: D of both stages.

    Convolutions like those of DCGAN lead to the smallest map. The compressed text is joined to
    every pixel of that map before a 1 x 1 convolution and the last layer.

    Attributes:
        features: channels of the first layer; 64 in the paper. Each further one has twice as many.
        text: numbers of the compressed text; 128 in the paper.
        normalisation: see `dcgan.normalise`; the first layer has none.
        dtype: the dtype of the convolutions.
    """

    features: int
    text: int
    normalisation: str
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, texts: Sequence[jax.Array], train: bool = True
    ) -> list[jax.Array]:
        """Returns raw outputs, float32 [B] for each of several texts of every image.

        Args:
            images: float32 [B, S, S, C].
            texts: embeddings, float32 [B, words] each.
            train: batch normalisation uses the batch's own statistics, not the running ones.
        """
        x = smallest_map(images, self.features, self.normalisation, train, self.dtype)
        compress = nn.Dense(self.text, dtype=self.dtype)
        join = nn.Conv(x.shape[-1], (1, 1), use_bias=False, dtype=self.dtype, kernel_init=INIT)
        normalised = normalise(self.normalisation, train, self.dtype)
        last = nn.Dense(1, dtype=self.dtype, kernel_init=INIT)
        outputs = []
        for text in texts:
            joined = join(spread(nn.leaky_relu(compress(text), SLOPE), x))
            joined = nn.leaky_relu(normalised(joined), SLOPE)
            outputs.append(last(joined.reshape(len(x), -1))[:, 0].astype(jnp.float32))
        return outputs


def draw_codes(network: Generators, key: jax.Array, text: jax.Array) -> jax.Array:
    """Returns codes for texts, float32 [B, latent + 2 condition + words]; see `Generators`.

    Args:
        network: the network that takes them.
        key: the PRNG key of all but the texts.
        text: embeddings, float32 [B, words].
    """
    drawn = jax.random.normal(key, (len(text), network.latent + 2 * network.condition))
    return jnp.concatenate([drawn, text], axis=-1)


def generate(
    network: Generators, generator: Player, codes: jax.Array, stage: str
) -> tuple[jax.Array, jax.Array, PyTree]:
    """Returns what a stage makes as in training, and the state of the generators after it.

    The first stage has no gradient in the second one, and uses its running statistics there.

    Args:
        network: the network of both stages.
        generator: their parameters and state.
        codes: float32 [B, ...]; see `draw_codes`.
        stage: the stage that is trained.

    Returns:
        Images [B, S, S, C] or [B, s, s, C]; the divergence [] of the stage's conditions from a
        standard normal distribution, the mean over conditions and their numbers; and the state.
    """
    apply: Any = functools.partial(
        network.apply, generator.variables, mutable=list(generator.state)
    )
    if stage == FIRST:
        (images, *gaussian), state = apply(codes, True, method="small")
    else:
        (small, *_), _ = apply(codes, False, method="small")
        small = jax.lax.stop_gradient(small)
        (images, *gaussian), state = apply(codes, small, True, method="large")
    return images, kl_to_standard_normal(*gaussian).mean() / network.condition, state


def judge(
    network: TextDiscriminator, discriminator: Player, images: jax.Array, *texts: jax.Array
) -> tuple[list[jax.Array], Player]:
    """Returns D's raw outputs as in training, float32 [B] for each text, and D after the call.

    Args:
        network: the network of D.
        discriminator: its parameters and state.
        images: float32 [B, S, S, C].
        texts: float32 [B, words] each.
    """
    found: Any = network.apply(
        discriminator.variables, images, texts, mutable=list(discriminator.state)
    )
    outputs, state = found
    return outputs, dataclasses.replace(discriminator, state=state)
