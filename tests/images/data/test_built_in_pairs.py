import numpy as np
import pytest
from image_configs import config
from PIL import Image

from jaxgan.core.errors import UserError
from jaxgan.images.data import built_in_pairs, glyphs
from jaxgan.images.data.built_in_pairs import edges, low_resolution, open_made
from jaxgan.images.data.edges import sketch
from jaxgan.images.settings import TRANSLATION_CHOICES


def data(**values):
    made = config().data
    made.update({"pairs": "edges", "factor": 2, "train": 21, "valid": 6, **values})
    return made


def test_edges_are_those_of_the_sketch():
    digits = glyphs.open_set("valid", 5, 0).values
    found = edges(digits, data())
    assert set(np.unique(found)) == {0, 255}
    expected = np.asarray(sketch(digits / 127.5 - 1))
    np.testing.assert_array_equal(found == 255, expected > 0)


def test_low_resolution_keeps_coarse_structure_only():
    coarse = np.kron(np.arange(9).reshape(3, 3), np.ones((8, 8)))[..., None] * 20
    checks = np.indices((24, 24)).sum(axis=0)[..., None] % 2 * 255
    values = np.stack([np.full((24, 24, 1), 77), coarse, checks]).astype(np.uint8)
    found = low_resolution(values, data(factor=4))
    np.testing.assert_array_equal(found[0], values[0])
    assert np.abs(found[1].astype(int) - values[1]).mean() < 10
    assert found[2].std() < 20, "a fine pattern becomes grey"
    small = Image.fromarray(values[1, ..., 0]).resize((6, 6), Image.Resampling.BICUBIC)
    whole = small.resize((24, 24), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found[1, ..., 0], np.asarray(whole))
    colour = np.repeat(values[:2], 3, axis=-1)
    np.testing.assert_array_equal(low_resolution(colour, data(factor=4))[..., 1], found[:2, ..., 0])


def test_training_has_pairs_or_none():
    paired, apart = open_made(data(), paired=True), open_made(data(), paired=False)
    for one in (paired.train, paired.valid, apart.valid):
        assert one.paired
        np.testing.assert_array_equal(one.a, edges(one.b, data()))
    assert not apart.train.paired
    np.testing.assert_array_equal(apart.train.a, paired.train.a[:10])
    np.testing.assert_array_equal(apart.train.b, paired.train.b[10:])


def test_data_that_have_no_pairs_are_refused():
    with pytest.raises(UserError, match=r"data.kind=ring: pairs are made of images, and these"):
        open_made(data(kind="ring"), paired=True)
    with pytest.raises(UserError, match=r"one training image is not enough for two domains"):
        open_made(data(train=1), paired=False)
    with pytest.raises(UserError, match=r"data.factor=29: the images have 28x28 pixels"):
        open_made(data(pairs="low_resolution", factor=29), paired=True)


def test_the_settings_name_everything_that_is_made():
    assert TRANSLATION_CHOICES["data.pairs"] == tuple(built_in_pairs.MADE)
