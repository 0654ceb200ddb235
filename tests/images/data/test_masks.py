"""The boxes of objects."""

import jax.numpy as jnp
import numpy as np

from jaxgan.images.data import overlays
from jaxgan.images.data.batches import to_floats
from jaxgan.images.data.masks import MARGIN, find_objects


def test_a_box_surrounds_the_light_pixels_with_a_margin():
    images = np.full((3, 9, 10, 3), -0.5, np.float32)
    images[0, 4, 5] = 0.1
    images[0, 5, 7] = 0.9
    images[1, 0, 9] = 0.1
    images[1, 8, 0, :2] = 1  # a channel is dark
    expected = np.zeros((3, 9, 10), bool)
    expected[0, 4 - MARGIN : 5 + MARGIN + 1, 5 - MARGIN : 7 + MARGIN + 1] = True
    expected[1, : MARGIN + 1, 9 - MARGIN :] = True
    found = find_objects(jnp.asarray(images), "light")
    np.testing.assert_array_equal(found.masks[..., 0], expected)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.seen, np.where(expected[..., None], images, 0))
    assert find_objects(jnp.asarray(images), "whole").masks.all()


def test_the_digits_of_overlays_are_in_their_boxes():
    values = overlays.make("train", 30, 0).values
    masks = np.asarray(find_objects(to_floats(jnp.asarray(values)), "light").masks)[..., 0]
    digits = overlays.mask(values)
    assert not (digits & ~masks).any()
    assert digits.any(axis=(1, 2)).all()
    assert 0.3 < masks.mean() < 0.9
