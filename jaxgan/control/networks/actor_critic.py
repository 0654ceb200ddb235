"""Networks that choose an action and estimate the value of a state."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class ActorCritic(nn.Module):
    """Two networks of equal hidden layers with tanh: the policy, and the value of the state.

    Weights are orthogonal and biases zero. The last layer of the policy has weights so small that
    all actions are almost equally likely at first (Huang et al. 2022, details 2 and 13).

    Attributes:
        actions: A.
        widths: the widths of the hidden layers of each network.
        dtype: the dtype of the computation; parameters and results are float32.
    """

    actions: int
    widths: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the logits of the policy, float32 [..., A], and the values, float32 [...].

        Args:
            observations: float32 [..., D].
        """

        def layer(inputs: jax.Array, width: int, scale: float) -> jax.Array:
            orthogonal = nn.initializers.orthogonal(scale)
            return nn.Dense(width, kernel_init=orthogonal, dtype=self.dtype)(inputs)

        def network(outputs: int, scale: float) -> jax.Array:
            hidden = observations
            for width in self.widths:
                hidden = nn.tanh(layer(hidden, width, math.sqrt(2)))
            return layer(hidden, outputs, scale).astype(jnp.float32)

        return network(self.actions, 0.01), network(1, 1.0)[..., 0]
