"""InfoGAN's discriminator with the recognition network Q (Chen et al. 2016, as in their code)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.images.networks import dcgan, pair


class Discriminator(nn.Module):
    """DCGAN's convolutions and a dense layer that D and Q share, then a hidden layer of Q's own.

    Without that hidden layer Q is linear in what D sees, and its categories follow from simple
    features.

    Attributes:
        features: channels of the first convolution; see `dcgan.Discriminator`.
        outputs: D's own one and Q's guesses.
        shared: units of the dense layer that both share.
        recognition: units of Q's hidden layer.
        normalisation: see `dcgan.normalise`; D's first layer has none.
        dtype: the dtype of the layers.
    """

    features: int
    outputs: int
    shared: int
    recognition: int
    normalisation: str = "batch"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Returns D's raw output and then Q's guesses, float32 [B, outputs].

        Args:
            x: float32 [B, H, W, C].
            train: use the batch's own statistics.
        """
        kind, dtype = self.normalisation, self.dtype

        def activated(y: jax.Array) -> jax.Array:
            as_image = y[:, None, None]  # which layer normalisation expects
            return nn.leaky_relu(dcgan.normalise(kind, train, dtype)(as_image), dcgan.SLOPE)[
                :, 0, 0
            ]

        def dense(width: int) -> nn.Dense:
            return nn.Dense(width, dtype=dtype, kernel_init=dcgan.INIT)

        trunk = dcgan.Discriminator(self.features, kind, self.shared, dtype=dtype)(x, train)
        common = activated(trunk)
        judgement = dense(1)(common)
        guesses = dense(self.outputs - 1)(activated(dense(self.recognition)(common)))
        return jnp.concatenate([judgement, guesses], axis=-1).astype(jnp.float32)


DISCRIMINATORS: dict[str, Any] = pair.DISCRIMINATORS | {"dcgan": Discriminator}
"""By `config.network`."""


def make_networks(config: ConfigDict, shape: tuple[int, ...], guesses: int) -> pair.Networks:
    """Returns the networks of a config, whose D has `guesses` outputs in addition to its own."""
    return pair.make_networks(config, shape, discriminators=DISCRIMINATORS, outputs=1 + guesses)
