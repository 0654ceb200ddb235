"""The network that gives a policy over masks its standard deviations."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class MaskDeviation(nn.Module):
    """Standard deviations of masks: one dense layer on the noisy feature.

    Attributes:
        initial: the standard deviation of every mask value before the first update.
    """

    initial: float

    @nn.compact
    def __call__(self, feature: jax.Array) -> jax.Array:
        """Noisy feature float32 [B, frames, bins] -> standard deviations > 0, of the same shape."""
        dense = nn.Dense(feature.shape[-1], kernel_init=nn.initializers.zeros)
        return self.initial * jnp.exp(dense(jnp.log1p(feature)))
