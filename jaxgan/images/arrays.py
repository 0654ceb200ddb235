"""Draws images or points as arrays, in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgan.core.arguments import whole_number
from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.validation import every_class

Draw = Callable[[np.ndarray, int], np.ndarray]
"""(classes int32 [n], seed) -> samples uint8 [n, H, W, C] or float32 [n, 2]."""


class ArraySampler:
    """Draws from a trained generator. `jaxgan.load` makes one.

    Attributes:
        classes: the names of the classes that the generator takes as conditions; empty if there are
            none.

    Args:
        draw: draws from the generator.
        classes: see above.
    """

    def __init__(self, draw: Draw, classes: Sequence[str]) -> None:
        self._draw = draw
        self.classes = tuple(classes)

    def __call__(self, count: int, seed: int = 0, label: Any = None) -> np.ndarray:
        """Returns what sample.py writes: images, uint8 [count, H, W, C], or points, float32
        [count, 2]. The same arguments give the same samples.

        Args:
            count: the number of samples, at least 1.
            seed: the seed of the draw.
            label: the name of the class of all samples, such as "3" or 3. Without it, sample i of a
                conditional generator is of class i modulo the number of classes.

        Raises:
            UserError: an argument cannot be used; the message says why.
        """
        labels = choose_labels(whole_number("count", count, 1), self.classes, label, "label")
        return self._draw(labels, whole_number("seed", seed))


def choose_labels(count: int, classes: Sequence[str], label: Any, name: str) -> np.ndarray:
    """Returns the class of each sample, int32 [count]: 0, 1, ..., or all of one class.

    Args:
        count: how many.
        classes: the names of the classes to choose from; empty if there are none.
        label: the name of one of them, or None.
        name: the name of the argument or flag that gives the label, for the message.

    Raises:
        UserError: there is no such class.
    """
    if label is None:
        return every_class(count, len(classes))
    if not classes:
        raise UserError(f"{name}={label}: this system's generator has no classes")
    if str(label) not in classes:
        raise UserError(f"{name}={label}: choose one of {', '.join(classes)}")
    return np.full(count, list(classes).index(str(label)), np.int32)
