import numpy as np
import pytest
from image_configs import config
from PIL import Image

from jaxgan.core.errors import UserError
from jaxgan.images.data import built_in_pairs, glyphs
from jaxgan.images.data.batches import to_floats
from jaxgan.images.data.built_in_pairs import edges, low_resolution, masks, open_made
from jaxgan.images.data.dataset import Images, without_labels
from jaxgan.images.data.edges import sketch
from jaxgan.images.data.layouts import count_codes, draw_layouts, read_codes
from jaxgan.images.data.views import draw_views
from jaxgan.images.settings import TRANSLATION_CHOICES


def data(**values):
    made = config().data
    made.update({"pairs": "edges", "factor": 2, "train": 21, "valid": 6, **values})
    return made


def test_edges_are_those_of_the_sketch():
    digits = glyphs.open_set("valid", 5, 0)
    found = edges(digits, data())
    assert set(np.unique(found)) == {0, 255}
    expected = np.asarray(sketch(digits.values / 127.5 - 1))
    np.testing.assert_array_equal(found == 255, expected > 0)


def test_low_resolution_keeps_coarse_structure_only():
    coarse = np.kron(np.arange(9).reshape(3, 3), np.ones((8, 8)))[..., None] * 20
    checks = np.indices((24, 24)).sum(axis=0)[..., None] % 2 * 255
    values = np.stack([np.full((24, 24, 1), 77), coarse, checks]).astype(np.uint8)
    found = low_resolution(without_labels(values), data(factor=4))
    np.testing.assert_array_equal(found[0], values[0])
    assert np.abs(found[1].astype(int) - values[1]).mean() < 10
    assert found[2].std() < 20, "a fine pattern becomes grey"
    small = Image.fromarray(values[1, ..., 0]).resize((6, 6), Image.Resampling.BICUBIC)
    whole = small.resize((24, 24), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found[1, ..., 0], np.asarray(whole))
    colour = without_labels(np.repeat(values[:2], 3, axis=-1))
    np.testing.assert_array_equal(low_resolution(colour, data(factor=4))[..., 1], found[:2, ..., 0])


def test_views_are_rotated_and_slanted():
    digits = glyphs.open_set("valid", 3, 0)
    found = built_in_pairs.views(digits, data(rotation=20.0, shear=0.1))
    np.testing.assert_array_equal(found, draw_views(digits.values, 20.0, 0.1))


def test_masks_say_the_class_and_the_level_of_brightness():
    values = np.array([0, 63, 64, 127, 128, 191, 192, 255], np.uint8).reshape(1, 2, 4, 1)
    classes = ("a", "b", "c")
    images = Images(np.repeat(values, 2, axis=0), np.array([0, 2], np.int32), classes)
    found = masks(images, data())
    codes = [[[0, 0, 1, 1], [2, 2, 3, 3]], [[0, 0, 7, 7], [8, 8, 9, 9]]]
    np.testing.assert_array_equal(found[..., 0], np.rint(np.array(codes) * 255 / 9))
    assert count_codes(3) == 10
    np.testing.assert_array_equal(read_codes(to_floats(found), 10), codes)
    many = Images(np.repeat(values, 86, axis=0), np.arange(86, dtype=np.int32), ("x",) * 85)
    every = read_codes(to_floats(draw_layouts(many.select(np.arange(85)))), 256)
    assert set(np.unique(every)) == set(range(256))
    colour = Images(np.repeat(values, 3, axis=-1), np.array([1], np.int32), classes)
    np.testing.assert_array_equal(read_codes(to_floats(masks(colour, data())), 10)[0, 1, 3], 6)


def test_masks_need_labels_of_few_classes():
    values = np.zeros((2, 4, 4, 1), np.uint8)
    with pytest.raises(UserError, match=r"data.kind=glyphs: not all of these images have a label"):
        masks(without_labels(values), data())
    with pytest.raises(UserError, match=r"pairs=masks: 86 classes are too many for 256 greys"):
        masks(Images(values, np.zeros(2, np.int32), ("x",) * 86), data())


def test_training_has_pairs_or_none():
    paired, apart = open_made(data(), paired=True), open_made(data(), paired=False)
    for one in (paired.train, paired.valid, apart.valid):
        assert one.paired
        np.testing.assert_array_equal(one.a, edges(without_labels(one.b), data()))
    assert not apart.train.paired
    np.testing.assert_array_equal(apart.train.a, paired.train.a[:10])
    np.testing.assert_array_equal(apart.train.b, paired.train.b[10:])


def test_data_that_have_no_pairs_are_refused():
    with pytest.raises(UserError, match=r"one training image is not enough for two domains"):
        open_made(data(train=1), paired=False)
    with pytest.raises(UserError, match=r"data.factor=29: the images have 28x28 pixels"):
        open_made(data(pairs="low_resolution", factor=29), paired=True)


def test_the_settings_name_everything_that_is_made():
    # Images of two classes are no pairs; see data.two_classes.
    assert TRANSLATION_CHOICES["data.pairs"] == (*built_in_pairs.MADE, "classes")
