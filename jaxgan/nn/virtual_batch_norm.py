"""Virtual batch normalisation (Salimans et al. 2016, section 3.5)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


class VirtualBatchNorm(nn.Module):
    """Normalises each example with a fixed reference batch and itself.

    The output for an example then does not depend on the other examples of its batch.

    Attributes:
        epsilon: added to the variance.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, reference: int) -> jax.Array:
        """Normalises the channels of a batch, whose first rows are the reference batch.

        Args:
            x: float [reference + N, ..., C].
            reference: the number of rows of the reference batch, at least 1.

        Returns:
            float32 of the same shape.
        """
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        offset = self.param("offset", nn.initializers.zeros, (channels,), jnp.float32)
        x = x.astype(jnp.float32)
        inner = tuple(range(1, x.ndim - 1))
        moments = jnp.stack(
            [jnp.mean(x, inner, keepdims=True), jnp.mean(x**2, inner, keepdims=True)]
        )
        fixed = jnp.mean(moments[:, :reference], axis=1, keepdims=True)
        share = 1 / (reference + 1)
        own = share * moments[:, reference:] + (1 - share) * fixed
        of_reference = jnp.broadcast_to(fixed, (2, reference, *fixed.shape[2:]))
        mean, square = jnp.concatenate([of_reference, own], axis=1)
        normal = (x - mean) * lax.rsqrt(jnp.maximum(square - mean**2, 0) + self.epsilon)
        return normal * scale + offset
