"""A second view of images: the same images, rotated and sheared around the middle."""

import numpy as np

CHUNK = 1000
"""The number of images that are drawn at a time."""


def draw_views(values: np.ndarray, rotation: float, shear: float) -> np.ndarray:
    """Returns the images as they look after a rotation and then a shear, uint8 [n, H, W, C].

    Pixels are interpolated linearly. Beyond its borders, an image continues with its outermost
    pixels.

    Args:
        values: uint8 [n, H, W, C].
        rotation: the angle in degrees, counterclockwise.
        shear: how many pixels a row moves to the right for each pixel that it is above the
            middle.
    """
    height, width = values.shape[1:3]
    middle = (height - 1) / 2, (width - 1) / 2
    y, x = (each - centre for each, centre in zip(np.mgrid[:height, :width], middle, strict=True))
    # Where each pixel comes from: y points downwards.
    x = x + shear * y
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    row, column = cos * y + sin * x + middle[0], cos * x - sin * y + middle[1]
    row, column = row.clip(0, height - 1), column.clip(0, width - 1)
    above, left = (np.floor(each).astype(int) for each in (row, column))
    below, right = np.minimum(above + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = ((row - above)[..., None], (column - left)[..., None])
    found = np.empty_like(values)
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        upper = part[:, above, left] * (1 - across) + part[:, above, right] * across
        lower = part[:, below, left] * (1 - across) + part[:, below, right] * across
        found[start : start + CHUNK] = np.rint(upper * (1 - down) + lower * down)
    return found
