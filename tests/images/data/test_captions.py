import numpy as np
import pytest
from image_configs import config

from jaxgan.core.errors import UserError
from jaxgan.images.data import opening
from jaxgan.images.data.captions import bags_of_words, captions, class_of, with_captions
from jaxgan.images.data.dataset import Images, without_labels


def boxes(*sizes):
    """Images of 12 x 12 with a box of a height, a width and a brightness each."""
    values = np.zeros((len(sizes), 12, 12, 1), np.uint8)
    for image, (height, width, light) in zip(values, sizes, strict=True):
        image[1 : 1 + height, 2 : 2 + width] = light
    return values


def test_words_are_relative_to_the_medians_of_the_class():
    values = boxes((4, 2, 250), (4, 2, 60), (2, 4, 240), (2, 4, 50), (4, 2, 40), (4, 8, 40))
    classes = ("cat", "big dog")
    train = Images(values, np.array([0, 0, 0, 0, 1, 1], np.int32), classes)
    valid = Images(boxes((6, 3, 250), (3, 3, 40), (2, 2, 200)), np.array([0, 1, -1]), classes)
    found, held_out = with_captions(train, valid)
    assert found.classes == held_out.classes == captions(classes)
    assert [found.classes[label] for label in found.labels] == [
        "bright narrow cat",
        "dark narrow cat",
        "bright wide cat",
        "dark wide cat",
        "dark narrow big dog",
        "bright wide big dog",
    ]
    assert [held_out.classes[label] for label in held_out.labels[:2]] == [
        "bright narrow cat",
        "dark narrow big dog",
    ]
    assert held_out.labels[2] == -1
    assert found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.values, values)


def test_a_bag_has_the_words_of_its_caption():
    classes = ("cat", "big dog", "0")
    words = ["dark", "bright", "narrow", "wide", *classes]
    bags = bags_of_words(12)
    assert (bags.shape, bags.dtype) == ((12, 7), np.float32)
    for bag, caption in zip(bags, captions(classes), strict=True):
        assert " ".join(word for word, has in zip(words, bag, strict=True) if has) == caption
        assert caption.endswith(class_of(caption))
    assert {class_of(caption) for caption in captions(classes)} == set(classes)


def test_digits_have_captions_that_occur_about_equally_often():
    asked = config(labels="captions", train=2000, valid=40)
    train, valid, _ = opening.open_data(asked, lambda _: None)
    assert train.classes[:2] == ("dark narrow 0", "dark wide 0")
    plain, *_ = opening.open_data(config(train=2000, valid=40), lambda _: None)
    np.testing.assert_array_equal(train.labels // 4, plain.labels)
    words = bags_of_words(40)[train.labels].mean(axis=0)
    np.testing.assert_allclose(words[:4], 0.5, atol=0.03)
    assert valid.labels.max() < 40


@pytest.mark.parametrize("kind", ["ring", "unlabelled"])
def test_captions_need_images_of_classes(kind):
    if kind == "ring":
        data = Images(np.zeros((2, 2), np.float32), np.zeros(2, np.int32), ("a",))
    else:
        data = without_labels(boxes((1, 1, 1)))
    with pytest.raises(UserError, match=r"data.labels=captions: captions are made of images and"):
        with_captions(data, data)
