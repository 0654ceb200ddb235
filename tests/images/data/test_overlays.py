import numpy as np

from jaxgan.images.data import glyphs, overlays


def test_the_mask_is_that_of_the_digit():
    pictures, digits = (kind.make("valid", 60, 3) for kind in (overlays, glyphs))
    assert pictures.values.shape == (60, 28, 28, 3)
    assert pictures.values.dtype == np.uint8
    np.testing.assert_array_equal(pictures.labels, digits.labels)
    np.testing.assert_array_equal(overlays.mask(pictures.values), digits.values[..., 0] >= 128)
    assert 0.05 < overlays.mask(pictures.values).mean() < 0.3


def test_backgrounds_are_coloured_and_change_smoothly():
    pictures = overlays.make("train", 30, 0).values.astype(int)
    digits = glyphs.make("train", 30, 0).values[..., 0]
    background = digits == 0
    assert (pictures.min(axis=-1)[background] == 0).all()
    assert (pictures.max(axis=-1)[background] >= 0.2 * 255 - 1).all()
    steps = np.abs(np.diff(pictures, axis=2))[background[:, :, 1:] & background[:, :, :-1]]
    assert steps.max() <= 10
    assert np.ptp(pictures[:, 0, 0], axis=0).min() > 100


def test_pictures_depend_only_on_the_arguments():
    one, same, other, held_out = (
        overlays.make(name, 10, seed).values
        for name, seed in [("train", 0), ("train", 0), ("train", 1), ("valid", 0)]
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one != held_out).any()
