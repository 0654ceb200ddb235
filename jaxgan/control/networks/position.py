"""Networks that value chess positions and judge chess moves."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.control.chess.positions import planes


class Evaluator(nn.Module):
    """Fully connected layers with ReLU from a position to its value.

    Attributes:
        widths: the widths of the hidden layers.
        dtype: the dtype of the computation; parameters and results are float32.
    """

    widths: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, squares: jax.Array) -> jax.Array:
        """Returns the values for the player who sees the positions, float32 [...].

        Args:
            squares: uint8 [..., 64]; see `chess.positions`.
        """
        hidden = planes(squares, self.dtype)
        for width in self.widths:
            hidden = nn.relu(nn.Dense(width, dtype=self.dtype)(hidden))
        return nn.Dense(1, dtype=self.dtype)(hidden)[..., 0].astype(jnp.float32)


class StyleDiscriminator(nn.Module):
    """Fully connected layers with ReLU from a position and the one after a move to a logit.

    Attributes:
        widths: the widths of the hidden layers, at least one.
        dtype: the dtype of the computation; parameters and results are float32.
    """

    widths: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, before: jax.Array, following: jax.Array) -> jax.Array:
        """Returns the logits of the moves being the player's own, float32 [..., M].

        Args:
            before: uint8 [..., 64]; see `chess.positions`.
            following: uint8 [..., M, 64], after each of M moves, seen by the same player.
        """
        width, *others = self.widths
        # The sum is a layer on both positions, whose half for the first is computed only once.
        of_both = nn.Dense(width, use_bias=False, dtype=self.dtype)(planes(before, self.dtype))
        of_both = of_both[..., None, :] + nn.Dense(width, dtype=self.dtype)(
            planes(following, self.dtype)
        )
        hidden = nn.relu(of_both)
        for width in others:
            hidden = nn.relu(nn.Dense(width, dtype=self.dtype)(hidden))
        return nn.Dense(1, dtype=self.dtype)(hidden)[..., 0].astype(jnp.float32)
