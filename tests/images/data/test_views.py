import numpy as np
import scipy.ndimage

from jaxgan.images.data.views import draw_views


def test_a_view_against_scipy():
    values = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), np.uint8)
    angle, shear = 25.0, -0.4
    found = draw_views(values, angle, shear)
    # y points downwards, so a counterclockwise rotation takes a place back by this matrix.
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    back = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [shear, 1]])
    middle = np.array([4.0, 5.5])
    for image, drawn in zip(values, found, strict=True):
        for channel in range(3):
            expected = scipy.ndimage.affine_transform(
                image[..., channel].astype(float),
                back,
                middle - back @ middle,
                order=1,
                mode="nearest",
            )
            np.testing.assert_allclose(drawn[..., channel], expected, atol=0.51)


def test_the_directions_of_rotation_and_shear():
    values = np.zeros((1, 9, 9, 1), np.uint8)
    values[0, 4, 7] = 255  # to the right of the middle
    assert draw_views(values, 90.0, 0.0)[0, 1, 4, 0] == 255, "counterclockwise: above the middle"
    above = draw_views(values, 90.0, 0.0)
    assert draw_views(above, 0.0, 1.0)[0, 1, 7, 0] == 255, "rows above the middle move to the right"
    np.testing.assert_array_equal(draw_views(values, 0.0, 0.0), values)
