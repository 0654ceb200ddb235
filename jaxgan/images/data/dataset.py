"""A set of images or of points in the plane, with or without labels."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from jaxgan.core import files
from jaxgan.core.data_files import Problem
from jaxgan.core.errors import UserError

DATA = "data.json"
"""The file of a run that describes its data."""
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Images:
    """Images, or points in the plane, which most systems treat in the same way.

    Attributes:
        values: uint8 [n, H, W, C] with C = 1 (grey) or 3 (RGB); or float32 [n, 2], points. May be a
            read-only memory map.
        labels: int32 [n], the class of each, from 0; `UNLABELLED` where it is not known.
        classes: the names of the classes; empty if none are known.
    """

    values: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns n."""
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one of them: (H, W, C) or (2,)."""
        return self.values.shape[1:]

    def select(self, indices: np.ndarray) -> "Images":
        """Returns those with these indices, in this order."""
        return Images(self.values[indices], self.labels[indices], self.classes)


class Opened(NamedTuple):
    """The result of opening a kind of data.

    Attributes:
        train: the training set.
        valid: the validation set, of the same shape and classes.
        problems: the files that cannot be used.
        notes: further lines for the report.
    """

    train: Images
    valid: Images
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def without_labels(values: np.ndarray) -> Images:
    """Returns images or points of no known class."""
    return Images(values, np.full(len(values), UNLABELLED, np.int32))


def digests(train: Images, valid: Images) -> bytes:
    """Returns a JSON file that describes and identifies the data of a run, for `Recipe.files`."""
    return descriptions({"train": (train,), "valid": (valid,)})


def descriptions(sets: Mapping[str, Sequence[Images]]) -> bytes:
    """Returns a JSON file that describes and identifies sets of data, for `Recipe.files`.

    Args:
        sets: for each name, the parts of the set, which have the same shape and classes.
    """
    plain = {
        name: {
            "count": sum(map(len, parts)),
            "shape": list(parts[0].shape),
            "classes": list(parts[0].classes),
            "sha256": _digest(parts),
        }
        for name, parts in sets.items()
    }
    return (json.dumps(plain, indent=1) + "\n").encode()


def described(folder: epath.Path, part: str = "train") -> dict[str, Any]:
    """Returns the contents of data.json, which describe a run's data: "shape", "classes" and more.

    Args:
        folder: the folder of the run.
        part: "train" or "valid".

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / DATA
    try:
        found: dict[str, Any] = json.loads(path.read_text())[part]
        shape, classes = tuple(map(int, found["shape"])), tuple(map(str, found["classes"]))
        return {**found, "shape": shape, "classes": classes}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({files.reason(error)}): restore it, or train again"
        ) from error


def _digest(parts: Sequence[Images]) -> str:
    digest = hashlib.sha256()
    for images in parts:
        digest.update(np.ascontiguousarray(images.values).data)
        digest.update(np.ascontiguousarray(images.labels).data)
        digest.update(json.dumps(images.classes).encode())
    return digest.hexdigest()
