"""Pairs that are made of single images: B is the image itself, and A is made of it.

edges            its edges, light on dark (`data.edges.sketch`)
low_resolution   the image reduced by `data.factor` and enlarged again, both by Pillow's BICUBIC
                 filter, which widens for reduction and so does not alias
masks            its layout: classes and levels of brightness (`data.layouts.draw_layouts`)
views            the image rotated by `data.rotation` and slanted by `data.shear`
                 (`data.views.draw_views`)
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxgan.core.errors import UserError
from jaxgan.images.data.batches import WHITE, to_bytes, to_floats
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.domains import Domains, OpenedDomains
from jaxgan.images.data.edges import sketch
from jaxgan.images.data.layouts import count_codes, draw_layouts
from jaxgan.images.data.opening import IMAGES
from jaxgan.images.data.views import draw_views

CHUNK = 1000
"""The number of images whose edges are computed at a time."""


def edges(images: Images, data: ConfigDict) -> np.ndarray:
    """Returns the edges of images, uint8 [n, H, W, C]: 0 or 255, the same in all channels."""
    find = jax.jit(lambda part: to_bytes(sketch(to_floats(part))))
    values = images.values
    found = np.empty_like(values)
    for start in range(0, len(values), CHUNK):
        found[start : start + CHUNK] = find(values[start : start + CHUNK])
    return found


def low_resolution(images: Images, data: ConfigDict) -> np.ndarray:
    """Returns images reduced by `data.factor` and enlarged again, uint8 [n, H, W, C].

    Raises:
        UserError: the images are smaller than the factor.
    """
    values = images.values
    height, width, channels = values.shape[1:]
    if min(height, width) < data.factor:
        raise UserError(
            f"config.data.factor={data.factor}: the images have {height}x{width} pixels; choose a "
            "smaller factor"
        )
    small = max(round(width / data.factor), 1), max(round(height / data.factor), 1)
    found = np.empty_like(values)
    for number, image in enumerate(values):
        whole = Image.fromarray(image[..., 0] if channels == 1 else image)
        reduced = whole.resize(small, Image.Resampling.BICUBIC)
        enlarged = reduced.resize((width, height), Image.Resampling.BICUBIC)
        found[number] = np.asarray(enlarged).reshape(image.shape)
    return found


def masks(images: Images, data: ConfigDict) -> np.ndarray:
    """Returns the layouts of images, uint8 [n, H, W, C].

    Raises:
        UserError: an image has no label, or there are too many classes for 256 greys.
    """
    classes = len(images.classes)
    if not classes or (images.labels < 0).any():
        raise UserError(
            f"config.data.kind={data.kind}: not all of these images have a label, which "
            "config.data.pairs=masks needs; choose other data or pairs"
        )
    if count_codes(classes) > WHITE + 1:
        raise UserError(
            f"config.data.pairs=masks: {classes} classes are too many for {WHITE + 1} greys; "
            "choose other data or pairs"
        )
    return draw_layouts(images)


def views(images: Images, data: ConfigDict) -> np.ndarray:
    """Returns another view of images, uint8 [n, H, W, C]."""
    return draw_views(images.values, data.rotation, data.shear)


MADE: Mapping[str, Callable[[Images, ConfigDict], np.ndarray]] = {
    "edges": edges,
    "low_resolution": low_resolution,
    "masks": masks,
    "views": views,
}
"""For each `config.data.pairs`, the function that makes A of B."""


def open_made(data: ConfigDict, paired: bool) -> OpenedDomains:
    """Returns pairs of the images of any kind.

    Args:
        data: the data settings of a config.
        paired: whether training needs pairs. If not, A is made of the first half of the training
            images and B is the second half, so no image has its partner in the training set. The
            validation set always has pairs.

    Raises:
        UserError: the data cannot be used or are too few.
    """
    train, valid, problems, _ = IMAGES[data.kind](data)
    make = MADE[data.pairs]

    def pairs(images: Images) -> Domains:
        return Domains(make(images, data), images.values, True)

    if paired:
        return OpenedDomains(pairs(train), pairs(valid), problems)
    if len(train) < 2:
        raise UserError(
            f"config.data.kind={data.kind}: one training image is not enough for two domains"
        )
    half = len(train) // 2
    first = train.select(np.arange(half))
    apart = Domains(make(first, data), train.values[half:], False)
    return OpenedDomains(apart, pairs(valid), problems)
