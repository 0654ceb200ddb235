import io

import numpy as np
import pytest
from image_configs import config
from PIL import Image

from jaxgan.core.errors import UserError
from jaxgan.images.data import cifar


def opened(root):
    return cifar.open_cifar10(config(kind="cifar10", root=str(root)).data)


def write_binary(root, count=3):
    """The files of the binary version with `count` images each; returns images and labels."""
    random, values, labels = np.random.default_rng(0), [], []
    root.mkdir(exist_ok=True)
    for name in (*cifar.TRAIN, *cifar.TEST):
        images = random.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
        numbers = random.integers(10, size=(count, 1), dtype=np.uint8)
        records = np.concatenate([numbers, images.transpose(0, 3, 1, 2).reshape(count, -1)], axis=1)
        (root / name).write_bytes(records.tobytes())
        values.append(images)
        labels.append(numbers[:, 0])
    return np.concatenate(values), np.concatenate(labels)


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-bin"])
def test_the_binary_version_is_read(tmp_path, folder):
    values, labels = write_binary(tmp_path / folder)
    train, valid, *_ = opened(tmp_path)
    np.testing.assert_array_equal(np.concatenate([train.values, valid.values]), values)
    np.testing.assert_array_equal(np.concatenate([train.labels, valid.labels]), labels)
    assert (len(train), len(valid), train.labels.dtype) == (15, 3, np.int32)
    assert train.classes[0] == "airplane"
    assert len(train.classes) == 10


def changed(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b[:-1], "9218 bytes are not whole records of 3073 bytes"),
        (lambda b: b"", "0 bytes are not whole records"),
        (lambda b: b[:3073] + b"\x0a" + b[3074:], "the label of image 2 is 10, not 0 to 9"),
    ],
)
def test_damage_to_a_binary_file_is_named(tmp_path, change, says):
    write_binary(tmp_path)
    changed(tmp_path / "data_batch_3.bin", change)
    with pytest.raises(UserError, match=f"data_batch_3.bin.*{says}"):
        opened(tmp_path)


def test_a_missing_binary_file_is_named(tmp_path):
    write_binary(tmp_path)
    (tmp_path / "data_batch_5.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_5\.bin cannot be read .*all of data_batch_1"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "cifar-10-batches-py/data_batch_1"])
def test_pickles_are_refused_in_favour_of_the_binary_version(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(
        UserError, match=r"version for Python, .*download cifar10 .* the binary version"
    ):
        opened(tmp_path)


def test_an_empty_folder_names_the_command_that_downloads(tmp_path):
    with pytest.raises(UserError, match=r"has no data_batch_1\.bin .*images\.download cifar10"):
        opened(tmp_path)


def jpeg(colour, size=(32, 32), kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, quality=100)
    return file.getvalue()


COLOURS = [(250, 10, 10), (20, 200, 30), (0, 0, 240), (90, 90, 90)]


def write_npz(path, parts=None, **changes):
    parts = [jpeg(colour) for colour in COLOURS] if parts is None else parts
    arrays = {
        "jpeg": np.frombuffer(b"".join(parts), np.uint8),
        "offsets": np.cumsum([0, *map(len, parts)]),
        "labels": np.array([2, 0, 1, 1], np.uint8),
        "names": np.array(["bird", "cat", "dog"]),
    }
    np.savez(path, **{name: a for name, a in (arrays | changes).items() if a is not None})


def test_pictures_in_an_npz_file_are_decoded(tmp_path):
    write_npz(tmp_path / "train.npz")
    write_npz(tmp_path / "test.npz")
    train, valid, *_ = opened(tmp_path)
    assert train.shape == (32, 32, 3)
    assert np.abs(train.values.mean(axis=(1, 2)) - COLOURS).max() < 3
    assert train.labels.tolist() == [2, 0, 1, 1]
    assert train.classes == valid.classes == ("bird", "cat", "dog")


CASES = {
    "array missing": ({"offsets": None}, r"lacks an array \(.*offsets"),
    "pickled": ({"names": np.array(["a", None], object)}, r"cannot be read"),
    "label too high": ({"labels": np.array([0, 1, 2, 3])}, "labels are not from 0 to 2"),
    "fewer labels": ({"labels": np.array([0])}, "its offsets do not fit"),
    "no labels": ({"labels": np.zeros(0, int)}, "its offsets do not fit"),
    "offsets descend": ({"offsets": np.array([0, 700, 600, 800, 900], "u4")}, "offsets do not fit"),
    "offsets too high": ({"offsets": np.array([0, 1, 2, 3, 10**6])}, "its offsets do not fit"),
    "offsets negative": ({"offsets": np.array([-1, 1, 2, 3, 4])}, "its offsets do not fit"),
    "float offsets": ({"offsets": np.arange(5.0)}, "its offsets do not fit"),
    "not a picture": ({"jpeg": np.zeros(9999, np.uint8)}, "picture 1 is not a picture that Pillow"),
    "cut": ({"parts": [jpeg(c)[:300] for c in COLOURS]}, r"picture 1 cannot be decoded"),
    "other size": ({"parts": [jpeg(c, (32, 31)) for c in COLOURS]}, "picture 1 is not 32x32"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_to_an_npz_file_is_told_in_one_line(tmp_path, case):
    write_npz(tmp_path / "test.npz")
    changes, says = CASES[case]
    write_npz(tmp_path / "train.npz", **changes)
    with pytest.raises(UserError, match=says) as caught:
        opened(tmp_path)
    assert "train.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_archives_or_do_not_belong_together_are_refused(tmp_path):
    write_npz(tmp_path / "train.npz")
    with pytest.raises(UserError, match=r"test\.npz cannot be read \(.*No such file"):
        opened(tmp_path)
    for content in (b"nonsense", b"", (tmp_path / "train.npz").read_bytes()[:-99]):
        (tmp_path / "test.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"test\.npz cannot be read"):
            opened(tmp_path)
    with (tmp_path / "test.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"test\.npz cannot be read"):
        opened(tmp_path)
    write_npz(tmp_path / "test.npz", names=np.array(["a", "b", "c"]))
    with pytest.raises(UserError, match="have different class names"):
        opened(tmp_path)
