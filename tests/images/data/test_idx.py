import gzip
import struct

import numpy as np
import pytest
from image_configs import config

from jaxgan.core.errors import UserError
from jaxgan.images.data import idx

COUNTS = {"train": 12, "t10k": 6}
NAMES = ("images-idx3-ubyte", "labels-idx1-ubyte")


def content(array):
    axes = array.ndim
    return struct.pack(f">BBBB{axes}I", 0, 0, 8, axes, *array.shape) + array.tobytes()


def write(root, suffix=".gz", pack=gzip.compress):
    """A data set of the published layout; returns its images and labels."""
    random, made = np.random.default_rng(0), {}
    for name, count in COUNTS.items():
        images = random.integers(256, size=(count, 5, 4), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        made[name] = images, labels
        for array, part in zip((images, labels), NAMES, strict=True):
            (root / f"{name}-{part}{suffix}").write_bytes(pack(content(array)))
    return made


def opened(root, kind="mnist"):
    return idx.open_idx(config(kind=kind, root=str(root)).data)


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), ("", bytes), (".gz", bytes), ("", gzip.compress)]
)
def test_both_sets_are_read_packed_or_not(tmp_path, suffix, pack):
    made = write(tmp_path, suffix, pack)
    train, valid, problems, notes = opened(tmp_path)
    for images, name in ((train, "train"), (valid, "t10k")):
        np.testing.assert_array_equal(images.values[..., 0], made[name][0])
        np.testing.assert_array_equal(images.labels, made[name][1])
        assert images.labels.dtype == np.int32
        assert images.classes == tuple("0123456789")
    assert (train.shape, problems, notes) == ((5, 4, 1), (), ())


def test_unpacked_files_may_have_a_dot_in_their_names(tmp_path):
    write(tmp_path, "", bytes)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(opened(tmp_path).train) == 12


def test_fashion_mnist_has_names_of_clothes(tmp_path):
    write(tmp_path)
    classes = opened(tmp_path, "fashion_mnist").train.classes
    assert (len(classes), classes[0], classes[9]) == (10, "T-shirt/top", "ankle boot")


def test_a_missing_folder_or_file_names_the_command_that_downloads(tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.root is not set"):
        opened("")
    with pytest.raises(UserError, match=r"gone: there is no such folder"):
        opened(tmp_path / "gone")
    with pytest.raises(
        UserError, match=r"has no train-images-idx3-ubyte\.gz: `python -m jaxgan\.images\.download"
    ):
        opened(tmp_path)
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"has no t10k-labels-idx1-ubyte\.gz.*download mnist"):
        opened(tmp_path)


def array(*shape, start=0):
    return (start + np.arange(np.prod(shape))).astype(np.uint8).reshape(shape)


GOOD = content(array(12, 5, 4))
CASES = {
    "wrong magic": (
        0,
        b"\0\0\x08\x01" + GOOD[4:],
        "with 00 00 08 01 instead of 00 00 08 03",
    ),
    "floats": (0, b"\0\0\x0d\x03" + GOOD[4:], "is not an idx file of images"),
    "labels as images": (1, GOOD, "is not an idx file of labels"),
    "empty": (0, b"", "starts with nothing"),
    "header cut": (0, GOOD[:9], "its header is not complete"),
    "cut": (0, GOOD[:-3], "asks for 240 bytes and only 237 follow"),
    "too long": (0, GOOD + b"x", "asks for 240 bytes and more follow"),
    "absurd": (0, b"\0\0\x08\x03" + b"\xff" * 30, "its header asks for"),
    "fewer labels": (1, content(array(11)), "holds 12 images and .* 11 labels"),
    "label of 10": (1, content(array(12)), "label 11 is 10, and .* from 0 to 9"),
    "no images": (None, None, "holds no images"),
    "other size": (0, content(array(12, 5, 5)), "training images are 5x5 and the test images 5x4"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_line_that_names_the_file(tmp_path, case):
    write(tmp_path)
    which, data, says = CASES[case]
    if which is None:
        (tmp_path / f"train-{NAMES[0]}.gz").write_bytes(gzip.compress(content(array(0, 5, 4))))
        (tmp_path / f"train-{NAMES[1]}.gz").write_bytes(gzip.compress(content(array(0))))
    else:
        (tmp_path / f"train-{NAMES[which]}.gz").write_bytes(gzip.compress(data))
    with pytest.raises(UserError, match=says) as caught:
        opened(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:40] + b"\0" * 9 + b[49:]])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        opened(tmp_path)
