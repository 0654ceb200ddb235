"""Pictures of an episode as a GIF."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

MILLISECONDS = 40
"""How long each picture is shown."""


def gif(pictures: Sequence[np.ndarray]) -> bytes:
    """Returns an animated GIF that repeats forever.

    Args:
        pictures: one or more, uint8 [H, W, 3] of equal size.
    """
    first, *others = [Image.fromarray(picture) for picture in pictures]
    stream = io.BytesIO()
    first.save(
        stream,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=MILLISECONDS,
        loop=0,
    )
    return stream.getvalue()
