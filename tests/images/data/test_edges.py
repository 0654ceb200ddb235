import jax
import numpy as np
from scipy import ndimage

from jaxgan.images.data.edges import THRESHOLD, sketch


def test_edges_are_where_the_slope_of_sobel_is_steep():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 9, 7, 3)).astype(np.float32)
    images = ndimage.uniform_filter(images, (1, 2, 2, 1))
    grey = images.astype(np.float64).mean(axis=-1)
    slopes = [[ndimage.sobel(one, axis, mode="nearest") for axis in (0, 1)] for one in grey]
    slope = np.stack([np.hypot(*pair) / 8 for pair in slopes])
    expected = np.where(slope > THRESHOLD, 1.0, -1.0)
    assert 0.02 < (expected > 0).mean() < 0.5
    near = np.abs(slope - THRESHOLD) < 1e-5
    found = np.asarray(jax.jit(sketch)(images))
    assert found.shape == images.shape
    for channel in range(3):
        assert ((found[..., channel] == expected) | near).all()


def test_a_flat_image_has_no_edges_and_a_step_has_one():
    image = np.full((1, 6, 6, 1), -1, np.float32)
    assert (sketch(image) == -1).all()
    image[:, :, 3:] = 1
    columns = (np.asarray(sketch(image))[0, :, :, 0] == 1).all(axis=0)
    np.testing.assert_array_equal(columns, [False, False, True, True, False, False])
