"""Where the object of an image is, as far as its pixels show."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

MARGIN = 2
"""The margin of an object's box in pixels, since another object in its place may be larger."""
MASKS = ("light", "whole")


class Objects(NamedTuple):
    """Images and where their objects are.

    Attributes:
        images: float32 [B, H, W, C] from -1 to 1.
        masks: bool [B, H, W, 1], true where the object is.
    """

    images: jax.Array
    masks: jax.Array

    @property
    def seen(self) -> jax.Array:
        """The objects on a grey background, float32 [B, H, W, C]."""
        return jnp.where(self.masks, self.images, 0.0)


def find_objects(images: jax.Array, kind: str) -> Objects:
    """Returns images and the masks of their objects; pure.

    Args:
        images: float32 [B, H, W, C] from -1 to 1.
        kind: "light": the box around the pixels of which every channel is above 0, such as the
            digits of the kind `overlays`, and `MARGIN` pixels more on each side; nothing if there
            are no such pixels. "whole": the whole image.
    """
    if kind == "whole":
        return Objects(images, jnp.ones((*images.shape[:3], 1), bool))
    light = images.min(axis=-1) > 0
    rows, columns = (_between(light.any(axis=axis)) for axis in (2, 1))
    return Objects(images, (rows[:, :, None] & columns[:, None, :])[..., None])


def _between(found: jax.Array) -> jax.Array:
    """Returns True from `MARGIN` before the first True of a row to `MARGIN` after the last."""
    place = jnp.arange(found.shape[1])
    first = jnp.where(found, place, found.shape[1]).min(axis=1, keepdims=True)
    last = jnp.where(found, place, -1).max(axis=1, keepdims=True)
    inside = (place >= first - MARGIN) & (place <= last + MARGIN)
    return inside & found.any(axis=1, keepdims=True)
