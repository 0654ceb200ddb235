"""CIFAR-10 (Krizhevsky 2009) from its binary version, or from .npz files of JPEG pictures.

A record of the binary version is a label and the red, the green and the blue bytes of 32 rows.
"""

import io
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.data_files import existing_folder
from jaxgan.core.errors import UserError
from jaxgan.core.npz import read_arrays
from jaxgan.images.data import pictures
from jaxgan.images.data.dataset import Images, Opened

SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FOLDER = "cifar-10-batches-bin"
"""The folder in the published archive."""
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
NPZ = ("train.npz", "test.npz")
ARRAYS = ("jpeg", "offsets", "labels", "names")
"""The arrays of an .npz file; see `read_npz`."""
PICKLED = ("data_batch_1", "test_batch", "cifar-10-batches-py", "cifar-10-python.tar.gz")


def open_cifar10(data: ConfigDict) -> Opened:
    """Returns the published training set, and the published test set for validation.

    `data.root` holds the files of the binary version, or its folder, or train.npz and test.npz.

    Raises:
        UserError: a file is missing or damaged, or the folder holds the version for Python.
    """
    root = existing_folder("config.data.root", data.root)
    for folder in (root, root / FOLDER):
        if any((folder / name).is_file() for name in (*TRAIN, *TEST)):
            return Opened(read_binary(folder, TRAIN), read_binary(folder, TEST))
    if any((root / name).is_file() for name in NPZ):
        train, valid = (read_npz(root / name) for name in NPZ)
        if train.classes != valid.classes:
            raise UserError(f"{root}: {NPZ[0]} and {NPZ[1]} have different class names")
        return Opened(train, valid)
    command = f"`python -m jaxgan.images.download cifar10 {root}`"
    if any((root / name).exists() for name in PICKLED):
        raise UserError(
            f"{root} holds CIFAR-10's version for Python, whose pickles could run any program: "
            f"{command} downloads the binary version"
        )
    raise UserError(f"{root} has no {TRAIN[0]} and no {NPZ[0]}: {command} downloads CIFAR-10")


def read_binary(folder: Path, names: tuple[str, ...]) -> Images:
    """Returns the records of files of the binary version: uint8 [n, 32, 32, 3].

    Raises:
        UserError: a file is missing or damaged.
    """
    values, labels = zip(*(_records(folder / name) for name in names), strict=True)
    return Images(np.concatenate(values), np.concatenate(labels).astype(np.int32), CLASSES)


def _records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and the labels, uint8 [n], of one file."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): all of {TRAIN[0]} to {TRAIN[-1]} and "
            f"{TEST[0]} are needed"
        ) from error
    if not content.size or content.size % RECORD:
        raise UserError(
            f"{path} is damaged: {content.size} bytes are not whole records of {RECORD} bytes; "
            "download it again"
        )
    records = content.reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        place = int(np.argmax(labels >= len(CLASSES)))
        raise UserError(
            f"{path}: the label of image {place + 1} is {labels[place]}, not 0 to "
            f"{len(CLASSES) - 1}; this is not CIFAR-10's binary version, or it is damaged"
        )
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def read_npz(path: Path) -> Images:
    """Returns the pictures of an .npz file: uint8 [n, 32, 32, 3].

    The file holds `jpeg`, uint8 [bytes], the pictures one after another; `offsets`, int [n + 1], at
    which each starts; `labels`, int [n]; and `names`, str [classes].

    Raises:
        UserError: the file is missing or damaged, or an array does not fit the others.
    """
    try:
        found = read_arrays(path.read_bytes(), ARRAYS)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    if missing := [name for name in ARRAYS if name not in found]:
        raise UserError(f"{path} lacks an array ({', '.join(missing)})")
    packed, offsets, labels, names = (found[name] for name in ARRAYS)
    count = labels.size
    if not count or labels.dtype.kind not in "iu" or not _fit(offsets, count, packed.size):
        raise UserError(f"{path} is damaged: its offsets do not fit its labels and pictures")
    if labels.min() < 0 or labels.max() >= len(names):
        raise UserError(f"{path}: its labels are not from 0 to {len(names) - 1}")
    content = packed.tobytes()
    values = np.empty((count, SIDE, SIDE, 3), np.uint8)
    with pictures.limited():
        for number in range(count):
            part = content[offsets[number] : offsets[number + 1]]
            try:
                image = pictures.read(io.BytesIO(part), channels=3)
            except pictures.BadImageError as error:
                raise UserError(f"{path}: picture {number + 1} {error}") from error
            if image.shape != values.shape[1:]:
                raise UserError(f"{path}: picture {number + 1} is not {SIDE}x{SIDE} pixels")
            values[number] = image
    return Images(values, labels.astype(np.int32), tuple(str(name) for name in names))


def _fit(offsets: np.ndarray, count: int, size: int) -> bool:
    """Returns whether offsets cut `size` bytes into `count` parts, none of them empty."""
    if offsets.dtype.kind not in "iu" or offsets.shape != (count + 1,):
        return False
    signed = offsets.astype(np.int64)
    return bool(signed[0] >= 0 and signed[-1] <= size and (np.diff(signed) > 0).all())
