"""Captions: texts such as "dark wide 3" that name an image's brightness, width and class.

Brightness is the mean of all pixels; width is that of the box around the pixels above half of the
image's brightest, over the box's height. Both are relative to the class: the words are "dark" and
"narrow" up to the median of its training images, and "bright" and "wide" above it. So every class
has four captions, and its images are divided about equally between the words.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.data.dataset import Images

BRIGHTNESS, WIDTH = ("dark", "bright"), ("narrow", "wide")
OF_A_CLASS = len(BRIGHTNESS) * len(WIDTH)
"""The number of captions of a class."""
WORDS = len(BRIGHTNESS) + len(WIDTH)
"""The words of captions other than the names of classes."""
CHUNK = 1000
"""The number of images that are measured at a time."""


def captions(classes: Sequence[str]) -> tuple[str, ...]:
    """Returns the captions of all classes; caption i is of class i // `OF_A_CLASS`."""
    return tuple(
        f"{bright} {wide} {name}" for name in classes for bright in BRIGHTNESS for wide in WIDTH
    )


def class_of(caption: str) -> str:
    """Returns the name of the class that a caption has."""
    return caption.split(" ", 2)[-1]


def bags_of_words(count: int) -> np.ndarray:
    """Returns the embeddings of the first `count` captions, float32 [count, words].

    A value is 1 if the caption has the word and 0 otherwise: the four words that captions of all
    classes share, and then the name of each class, which counts as a word.

    Args:
        count: a multiple of `OF_A_CLASS`.
    """
    number = np.arange(count)
    bright, wide = number // len(WIDTH) % len(BRIGHTNESS), number % len(WIDTH)
    words = bright, len(BRIGHTNESS) + wide, WORDS + number // OF_A_CLASS
    bags = np.zeros((count, WORDS + count // OF_A_CLASS), np.float32)
    for word in words:
        bags[number, word] = 1
    return bags


def with_captions(train: Images, valid: Images) -> tuple[Images, Images]:
    """Returns the training set and the held-out set with captions in place of classes.

    Images of no known class have no caption.

    Args:
        train: the training set, whose medians decide the words.
        valid: the held-out set, of the same classes.

    Raises:
        UserError: the data are points, or have no classes.
    """
    if len(train.shape) != 3 or not train.classes:
        raise UserError(
            "config.data.labels=captions: captions are made of images and their classes, and these "
            "data have none; choose other data"
        )
    measured = [np.concatenate(list(_measures(each.values))) for each in (train, valid)]
    names, found = captions(train.classes), []
    medians = np.array(
        [
            np.median(measured[0][members], axis=0) if members.any() else np.zeros(2)
            for members in (train.labels == label for label in range(len(train.classes)))
        ]
    )
    for images, measures in zip((train, valid), measured, strict=True):
        above = (measures > medians[images.labels]).astype(np.int32)
        numbers = OF_A_CLASS * images.labels + len(WIDTH) * above[:, 0] + above[:, 1]
        labels = np.where(images.labels < 0, images.labels, numbers).astype(np.int32)
        found.append(Images(images.values, labels, names))
    return found[0], found[1]


def _measures(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields brightness and width of images, float [B, 2]."""
    for start in range(0, len(values), CHUNK):
        grey = values[start : start + CHUNK].mean(axis=-1)
        object_ = grey > grey.max(axis=(1, 2), keepdims=True) / 2
        height, width = (_extent(object_.any(axis=axis)) for axis in (2, 1))
        yield np.stack([grey.mean(axis=(1, 2)), width / height], axis=1)


def _extent(occupied: np.ndarray) -> np.ndarray:
    """Returns from the first to the last True of rows, int [B]; at least 1."""
    last = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    extent: np.ndarray = last - occupied.argmax(axis=1)
    return extent
