"""Two classes as two domains."""

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.data import glyphs
from jaxgan.images.settings import translation_settings
from jaxgan.images.translation import open_domains


def settings(**data):
    config = translation_settings("cyclegan", rounds=1, batch_size=2)
    config.data.update({"train": 40, "valid": 20, "pairs": "classes", **data})
    return config


def test_each_class_is_a_domain_and_nothing_is_paired():
    train, valid, _ = open_domains(settings(classes=("7", "2")), False, lambda _: None)
    images = glyphs.make("train", 40, 0)
    np.testing.assert_array_equal(train.a, images.values[images.labels == 7])
    np.testing.assert_array_equal(train.b, images.values[images.labels == 2])
    assert [train.paired, valid.paired] == [False, False]
    assert (len(valid.a), len(valid.b)) == (2, 2)


@pytest.mark.parametrize("classes", [("3", "3"), ("3", "x"), ("3",), ("1", "2", "3")])
def test_classes_that_are_not_two_of_the_data_are_refused(classes):
    with pytest.raises(UserError, match=r"data.classes=.*: name two of the classes .* are 0, 1, 2"):
        open_domains(settings(classes=classes), False, lambda _: None)


def test_data_that_cannot_be_two_classes_are_refused():
    with pytest.raises(UserError, match=r"data.classes: the valid set has no image of [38]; give"):
        open_domains(settings(valid=1), False, lambda _: None)
    with pytest.raises(UserError, match=r"data.pairs=classes: cyclegan learns from pairs, and im"):
        open_domains(settings(), True, lambda _: None)
