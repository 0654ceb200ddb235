"""Edges of images, which resemble a line drawing of the same object."""

import jax
import jax.numpy as jnp

THRESHOLD = 0.25
"""The least slope of an edge, as a share of the steepest step that an image can have. Chosen on
Fashion-MNIST: a quarter of its pixels are edges."""
DARK, LIGHT = -1.0, 1.0


def sketch(images: jax.Array) -> jax.Array:
    """Returns the edges of images as light lines on a dark background, of the same shape; pure.

    A pixel is on an edge where Sobel's operator finds a slope of the brightness, the mean of the
    channels, above `THRESHOLD`. Beyond their borders, images continue with their outermost pixels.

    Args:
        images: float32 [B, H, W, C] from -1 to 1.

    Returns:
        float32 [B, H, W, C], -1 or 1, the same in all channels.
    """
    grey = jnp.pad(images.mean(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    # Sobel's operator is a difference along one axis and a weighted mean (1, 2, 1) along the other.
    down = grey[:, 2:] - grey[:, :-2]
    across = grey[:, :, 2:] - grey[:, :, :-2]
    vertical = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    horizontal = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    # A step from -1 to 1 has the slope 8.
    edges = jnp.hypot(vertical, horizontal) / 8 > THRESHOLD
    lines = jnp.where(edges, LIGHT, DARK)[..., None]
    return jnp.broadcast_to(lines, images.shape)
