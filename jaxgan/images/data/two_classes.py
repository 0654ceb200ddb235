"""Two domains without pairs: the images of two classes."""

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.domains import Domains, OpenedDomains
from jaxgan.images.data.opening import IMAGES

KEY = "config.data.classes"


def open_classes(data: ConfigDict) -> OpenedDomains:
    """Returns the images of the two classes that `data.classes` names, A and B.

    Raises:
        UserError: the data cannot be used, or do not have these classes.
    """
    train, valid, problems, _ = IMAGES[data.kind](data)
    names = tuple(data.classes)
    if len(set(names)) != 2 or not set(names) <= set(train.classes):
        known = ", ".join(train.classes) or "none"
        raise UserError(f"{KEY}={names}: name two of the classes of these data, which are {known}")
    return OpenedDomains(_domains(train, "train", names), _domains(valid, "valid", names), problems)


def _domains(images: Images, part: str, names: tuple[str, ...]) -> Domains:
    found = []
    for name in names:
        places = np.flatnonzero(images.labels == images.classes.index(name))
        if not len(places):
            raise UserError(f"{KEY}: the {part} set has no image of {name}; give more data")
        found.append(images.values[places])
    a, b = found
    return Domains(a, b, False)
