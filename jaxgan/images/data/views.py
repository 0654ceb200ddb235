"""A second view of images: the same images, rotated and sheared around the middle."""

import itertools

import numpy as np
from scipy.ndimage import affine_transform


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
    middle = (np.array(values.shape[1:3]) - 1) / 2
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    # Where each pixel comes from: y points downwards.
    back = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [shear, 1]])
    offset = middle - back @ middle
    found = np.empty_like(values)
    for number, channel in itertools.product(range(len(values)), range(values.shape[-1])):
        image = values[number, ..., channel].astype(np.float64)
        view = affine_transform(image, back, offset, order=1, mode="nearest")
        found[number, ..., channel] = np.rint(view)
    return found
