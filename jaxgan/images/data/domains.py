"""Images of two domains A and B, of which some systems learn to turn one into the other."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgan.core.data_files import Problem
from jaxgan.images.data.dataset import descriptions, without_labels


@dataclass(frozen=True, eq=False)
class Domains:
    """Images of both domains.

    Attributes:
        a: uint8 [n, S, S, C], of domain A.
        b: uint8 [m, S, S, C], of domain B.
        paired: whether image i of A and image i of B belong together; then n = m.
    """

    a: np.ndarray
    b: np.ndarray
    paired: bool

    def __str__(self) -> str:
        """Returns in a few words how many images there are, and their size."""
        size = "x".join(map(str, self.a.shape[1:]))
        if self.paired:
            return f"{len(self.a)} pair{'s' * (len(self.a) != 1)} of {size}"
        return f"{len(self.a)} of A and {len(self.b)} of B, {size}"


class OpenedDomains(NamedTuple):
    """The result of opening a kind of data.

    Attributes:
        train: the training set.
        valid: the validation set, of the same shape.
        problems: the files that cannot be used.
    """

    train: Domains
    valid: Domains
    problems: tuple[Problem, ...] = ()


def digests(train: Domains, valid: Domains) -> bytes:
    """Returns a JSON file that describes and identifies the data of a run, for `Recipe.files`."""
    sets = {"train": train, "valid": valid}
    return descriptions(
        {name: (without_labels(one.a), without_labels(one.b)) for name, one in sets.items()}
    )
