"""MNIST and Fashion-MNIST from their published files, packed by gzip or not.

The format (LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998) is a header and
the bytes: two zeros, the type of the numbers (8 for bytes), the number of axes, and the length of
each axis, a big-endian int32; then the numbers in row-major order.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import existing_folder
from jaxgan.core.errors import UserError
from jaxgan.images.data.dataset import Images, Opened

CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
"""The names of the labels 0 to 9, by `config.data.kind`."""
SETS = ("train", "t10k")
"""The beginning of the file names of the training set and of the test set."""
GZIP_MAGIC = b"\x1f\x8b"
BYTES = 8
LONGEST_AXIS = 2**31 - 1


def open_idx(data: ConfigDict) -> Opened:
    """Returns the published training set, and the published test set for validation.

    Raises:
        UserError: a file is missing, damaged, or does not fit the others.
    """
    root = existing_folder("config.data.root", data.root)
    train, valid = (_open_set(root, name, data.kind) for name in SETS)
    if train.shape != valid.shape:
        raise UserError(
            f"{root}: the training images are {train.shape[0]}x{train.shape[1]} and the test "
            f"images {valid.shape[0]}x{valid.shape[1]}: the files belong to different data sets"
        )
    return Opened(train, valid)


def _open_set(root: Path, name: str, kind: str) -> Images:
    paths = [_existing(root, f"{name}-{part}", kind) for part in ("images-idx3", "labels-idx1")]
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if len(images) != len(labels):
        raise UserError(
            f"{paths[0]} holds {len(images)} images and {paths[1].name} {len(labels)} labels: "
            "the files do not belong together"
        )
    if not images.size:
        raise UserError(f"{paths[0]} holds no images")
    classes = CLASSES[kind]
    if labels.max() >= len(classes):
        place = int(np.argmax(labels >= len(classes)))
        raise UserError(
            f"{paths[1]}: label {place + 1} is {labels[place]}, and config.data.kind={kind} has "
            f"labels from 0 to {len(classes) - 1}"
        )
    return Images(images[..., None], labels.astype(np.int32), classes)


def _existing(root: Path, stem: str, kind: str) -> Path:
    """Returns the path of a file, which some distributors unpack and name with a dot."""
    dotted = stem.replace("-idx", ".idx")
    for name in (f"{stem}-ubyte.gz", f"{stem}-ubyte", f"{dotted}-ubyte"):
        if (root / name).is_file():
            return root / name
    raise UserError(
        f"{root} has no {stem}-ubyte.gz: `python -m jaxgan.images.download {kind} {root}` "
        "downloads it"
    )


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Returns the bytes of an idx file, packed by gzip or not: uint8 with that many axes.

    Raises:
        UserError: the file cannot be read, is damaged, or has another type or number of axes.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as content:
            header = content.read(4 * (1 + axes))
            lengths = _lengths(header, axes, path)
            size = math.prod(lengths)
            data = content.read(size)
            surplus = content.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): download it again") from error
    if len(data) < size or surplus:
        found = "more" if surplus else f"only {len(data)}"
        raise UserError(
            f"{path} is damaged: its header asks for {size} bytes and {found} follow; download it "
            "again"
        )
    return np.frombuffer(data, np.uint8).reshape(lengths)


def _lengths(header: bytes, axes: int, path: Path) -> tuple[int, ...]:
    expected = bytes((0, 0, BYTES, axes))
    if header[:4] != expected:
        raise UserError(
            f"{path} is not an idx file of {'images' if axes == 3 else 'labels'}: it starts with "
            f"{header[:4].hex(' ') or 'nothing'} instead of {expected.hex(' ')}"
        )
    if len(header) < 4 * (1 + axes):
        raise UserError(f"{path} is damaged: its header is not complete; download it again")
    lengths: tuple[int, ...] = struct.unpack(f">{axes}I", header[4:])
    if math.prod(lengths) > LONGEST_AXIS:
        raise UserError(f"{path} is damaged: its header asks for {lengths}; download it again")
    return lengths
