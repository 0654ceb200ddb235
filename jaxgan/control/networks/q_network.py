"""Networks that estimate the value of every action."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class QNetwork(nn.Module):
    """Fully connected layers with ReLU from an observation to action values.

    Attributes:
        actions: A.
        widths: the widths of the hidden layers.
        dueling: whether the last hidden layer and the output exist twice, for the value of the
            state and for the advantages of the actions (Wang et al. 2016, equation 9).
        dtype: the dtype of the computation; parameters and results are float32.
    """

    actions: int
    widths: tuple[int, ...]
    dueling: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, observations: jax.Array) -> jax.Array:
        """Returns the action values, float32 [..., A].

        Args:
            observations: float32 [..., D].
        """

        def hidden(hidden: jax.Array, width: int) -> jax.Array:
            return nn.relu(nn.Dense(width, dtype=self.dtype)(hidden))

        values = observations
        for width in self.widths[:-1] if self.dueling else self.widths:
            values = hidden(values, width)
        if not self.dueling:
            return nn.Dense(self.actions, dtype=self.dtype)(values).astype(jnp.float32)
        # Both streams send a gradient into the layers that they share (section 4.2 of the paper).
        values = scale_gradient(values, 1 / math.sqrt(2))
        streams = [hidden(values, width) for width in self.widths[-1:] * 2] or [values, values]
        value, advantages = (
            nn.Dense(outputs, dtype=self.dtype)(stream).astype(jnp.float32)
            for outputs, stream in zip((1, self.actions), streams, strict=True)
        )
        return value + advantages - advantages.mean(axis=-1, keepdims=True)


def scale_gradient(values: jax.Array, factor: float) -> jax.Array:
    """Returns the values, whose gradient is multiplied by a factor on its way back."""
    return factor * values + (1 - factor) * jax.lax.stop_gradient(values)
