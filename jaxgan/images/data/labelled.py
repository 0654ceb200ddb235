"""Removes the labels of most images, for systems that learn from few labels."""

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.data.dataset import UNLABELLED, Images

STREAM = 2
"""Part of the seed, which distinguishes this draw from others of the data's seed."""


def keep_labels(images: Images, count: int, seed: int) -> Images:
    """Returns the same images, of which only some keep their label, equally many of a class.

    Args:
        images: labelled images.
        count: how many keep their label, a multiple of the number of classes.
        seed: determines which ones.

    Raises:
        UserError: the images have no labels, the count is not a multiple of the number of classes,
            or a class has too few images.
    """
    key = f"config.data.labelled={count}"
    classes = len(images.classes)
    if not classes:
        raise UserError(f"{key}: these data have no labels; set it to 0")
    if count % classes:
        raise UserError(f"{key}: must be a multiple of the {classes} classes")
    random = np.random.default_rng((seed, STREAM))
    labels = np.full(len(images), UNLABELLED, np.int32)
    for number, name in enumerate(images.classes):
        places = np.flatnonzero(images.labels == number)
        if len(places) < count // classes:
            raise UserError(
                f"{key} needs {count // classes} images of every class, and {name!r} has "
                f"{len(places)}"
            )
        labels[random.permutation(places)[: count // classes]] = number
    return Images(images.values, labels, images.classes)
