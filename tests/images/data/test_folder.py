import os

import numpy as np
import pytest
from image_configs import config
from PIL import Image

from jaxgan.core.data_files import list_of
from jaxgan.core.errors import UserError
from jaxgan.images.data import folder, pictures
from jaxgan.images.data.opening import open_data


def save(path, shade=0, size=(20, 16)):
    """A picture whose grey value identifies it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade,) * 3).save(path)


def write(root, *names):
    """Pictures with the grey values 0, 1, 2 and so on."""
    for shade, name in enumerate(names):
        save(root / name, shade)


def opened(root, **data):
    chosen = {"kind": "folder", "root": str(root), "size": 8} | data
    return folder.open_folder(config(**chosen).data)


def shades(images):
    return images.values[:, 0, 0, 0].tolist()


CATS_AND_DOGS = [f"{name}/{number}.png" for name in ("dog", "cat") for number in range(10)]


def test_sub_folders_are_classes_and_a_share_is_held_out(tmp_path):
    write(tmp_path, *CATS_AND_DOGS)
    train, valid, problems, notes = opened(tmp_path)
    assert (train.values.shape, valid.values.shape) == ((18, 8, 8, 3), (2, 8, 8, 3))
    assert (train.values.dtype, train.labels.dtype) == (np.uint8, np.int32)
    assert train.classes == valid.classes == ("cat", "dog")
    assert (problems, notes) == ((), ())
    assert sorted(shades(train) + shades(valid)) == list(range(20))
    for images in (train, valid):
        assert images.labels.tolist() == [int(shade < 10) for shade in shades(images)]


def test_channels_and_size_are_as_asked(tmp_path):
    write(tmp_path, *CATS_AND_DOGS)
    assert opened(tmp_path, channels=1, size=5).train.shape == (5, 5, 1)


def test_pictures_of_any_size_and_mode_make_one_set_without_a_word(tmp_path):
    save(tmp_path / "wide.png", 90, size=(40, 9))
    save(tmp_path / "tiny.png", 90, size=(1, 3))
    Image.new("CMYK", (30, 30), (0, 0, 0, 165)).save(tmp_path / "print.jpg")
    Image.fromarray(np.full((12, 7), 90 * 257, np.uint16)).save(tmp_path / "deep.png")
    frames = [Image.new("L", (16, 16), shade) for shade in (90, 0)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    train, valid, problems, notes = opened(tmp_path)
    assert (problems, notes) == ((), ())
    values = np.concatenate([train.values, valid.values])
    assert values.shape == (5, 8, 8, 3)
    assert np.abs(values.astype(int) - 90).max() <= 3


@pytest.mark.parametrize("valid_name", ["valid", "val", "test"])
def test_folders_of_both_sets_are_used(tmp_path, valid_name):
    write(tmp_path, "train/b/0.png", "train/a/deep/1.jpg", f"{valid_name}/a/2.png")
    train, valid, *_ = opened(tmp_path)
    assert (shades(train), train.labels.tolist()) == ([1, 0], [0, 1])
    assert (shades(valid), valid.labels.tolist()) == ([2], [0])
    assert valid.classes == ("a", "b")


def test_without_sub_folders_there_are_no_classes(tmp_path):
    write(tmp_path, *(f"{number}.png" for number in range(5)))
    train, valid, _, notes = opened(tmp_path)
    assert (len(train), len(valid), train.classes, notes) == (4, 1, (), ())
    assert set(train.labels) == {-1}


def test_pictures_beside_sub_folders_leave_all_without_a_class(tmp_path):
    write(tmp_path, "loose.png", *CATS_AND_DOGS)
    train, valid, _, notes = opened(tmp_path)
    assert (train.classes, set(train.labels), set(valid.labels)) == ((), {-1}, {-1})
    assert notes == (
        f"pictures are in {tmp_path} and in its sub-folders: none of them has a class",
    )


def test_an_empty_class_is_reported_and_is_none(tmp_path):
    write(tmp_path, *CATS_AND_DOGS)
    (tmp_path / "bird").mkdir()
    (tmp_path / "fish").mkdir()
    (tmp_path / "fish" / "0.png").write_bytes(b"damaged")
    train, _, problems, notes = opened(tmp_path)
    assert train.classes == ("cat", "dog")
    assert len(problems) == 1
    assert notes == tuple(
        f"the folder {name!r} holds no usable picture: it is no class" for name in ("bird", "fish")
    )


def test_a_single_class_is_reported(tmp_path):
    write(tmp_path, *(f"cat/{number}.png" for number in range(5)))
    train, _, _, notes = opened(tmp_path)
    assert (train.classes, set(train.labels)) == (("cat",), {0})
    assert notes == ("'cat' is the only class: labels tell a system nothing",)


def test_a_class_that_only_the_validation_set_has_is_refused(tmp_path):
    write(tmp_path, "train/a/0.png", "valid/a/1.png", "valid/b/2.png")
    with pytest.raises(UserError, match="the validation set has the class 'b'"):
        opened(tmp_path)


def test_three_pictures_suffice_for_a_batch_of_two_but_not_of_three(tmp_path):
    write(tmp_path, "0.png", "1.png", "2.png")

    def data(batch_size):
        chosen = config(batch_size, kind="folder", root=str(tmp_path), size=8)
        return open_data(chosen, lambda text: None)[:2]

    train, valid = data(2)
    assert (len(train), len(valid)) == (2, 1)
    with pytest.raises(
        UserError, match=r"config\.batch_size=3: the training set has only 2 images; choose"
    ):
        data(3)


@pytest.mark.parametrize("names", [["0.png"], ["a/0.png", "b/0.png"]])
def test_one_picture_a_class_is_not_enough(tmp_path, names):
    write(tmp_path, *names)
    with pytest.raises(UserError, match="one usable picture of a class is not enough"):
        opened(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.root is not set"):
        opened("")
    with pytest.raises(UserError, match="there is no such folder"):
        opened(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no pictures, such as"):
        opened(tmp_path)
    write(tmp_path, "train/0.png")
    (tmp_path / "valid").mkdir()
    with pytest.raises(UserError, match=r"valid holds no pictures"):
        opened(tmp_path)
    (tmp_path / "valid" / "0.png").touch()
    with pytest.raises(
        UserError, match=r"none of the 1 pictures in .*valid can be used, .*0\.png: is not a"
    ):
        opened(tmp_path)


def with_bad_files(root):
    write(root, *CATS_AND_DOGS)
    for number in range(4):
        (root / "cat" / f"bad{number}.jpg").write_bytes(b"not a picture")
    content = (root / "dog" / "0.png").read_bytes()
    (root / "dog" / "cut.png").write_bytes(content[:-30])
    (root / "dog" / "link.png").symlink_to(root / "nowhere.png")
    (root / "dog" / "Thumbs.db").write_bytes(b"x")
    (root / ".cache").mkdir()
    (root / ".cache" / "0.png").write_bytes(b"x")


def test_bad_files_are_left_out_counted_and_listed(tmp_path):
    with_bad_files(tmp_path)
    reports = []
    train, valid, problems = open_data(
        config(kind="folder", root=str(tmp_path), size=8), reports.append
    )
    assert sorted(shades(train) + shades(valid)) == list(range(20))
    first, second, third, *examples = reports[0].splitlines()
    assert first == "train: 18 images of 8x8x3, 2 classes"
    assert second == "valid: 2 images of 8x8x3, 2 classes"
    assert third == "6 files cannot be used as found; left_out.txt lists them:"
    assert examples[0].startswith(f"  4 files such as {tmp_path}/cat/bad0.jpg, ")
    assert examples[0].endswith(": is not a picture that Pillow can read; skipped")
    assert any("cut.png: cannot be decoded" in line for line in examples)
    listed = list_of(problems)["left_out.txt"].decode().splitlines()
    assert len(listed) == 6
    assert f"{tmp_path}/cat/bad3.jpg: is not a picture that Pillow can read; skipped" in listed


def test_a_file_name_that_is_not_utf_8_can_be_printed(tmp_path):
    write(tmp_path, *CATS_AND_DOGS)
    (tmp_path / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    reports = []
    open_data(config(kind="folder", root=str(tmp_path), size=8), reports.append)
    assert r"cat/caf\udce9.png: is not a picture" in reports[0]
    assert reports[0].encode()


def test_strict_refuses_bad_files(tmp_path):
    with_bad_files(tmp_path)
    with pytest.raises(UserError, match=r"strict=True refuses 6 files: .*bad0\.jpg") as caught:
        open_data(config(kind="folder", root=str(tmp_path), size=8, strict=True), lambda text: None)
    assert "link.png: cannot be read (No such file or directory)" in str(caught.value)


def test_pictures_come_from_the_cache_until_a_file_changes(tmp_path, own_cache, monkeypatch):
    with_bad_files(tmp_path)
    before = opened(tmp_path)
    (entry,) = (own_cache / "pictures").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read", None)
        again = opened(tmp_path)
    np.testing.assert_array_equal(again.train.values, before.train.values)
    assert again.problems == before.problems
    save(tmp_path / "cat" / "0.png", 99, (30, 30))
    changed = opened(tmp_path)
    assert 99 in shades(changed.train) + shades(changed.valid)
    assert [path.name for path in (own_cache / "pictures").iterdir()] != [entry.name]
    (entry,) = (own_cache / "pictures").iterdir()
    for name in ("values.npy", "reasons.json"):
        (entry / name).write_bytes(b"damaged")
        np.testing.assert_array_equal(opened(tmp_path).train.values, changed.train.values)


def test_other_sizes_and_channels_do_not_come_from_the_cache(tmp_path):
    write(tmp_path, *CATS_AND_DOGS)
    shapes = [opened(tmp_path, size=s, channels=c).train.shape for s, c in ((8, 3), (9, 3), (8, 1))]
    assert shapes == [(8, 8, 3), (9, 9, 3), (8, 8, 1)]


def test_without_a_writable_cache_the_pictures_are_still_read(tmp_path, monkeypatch):
    write(tmp_path, *CATS_AND_DOGS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "file"))
    assert len(opened(tmp_path).train) == 18


def test_the_held_out_share_depends_only_on_names_and_seed():
    names = [f"{number % 3}/{number}.png" for number in range(300)]
    classes = [name[0] for name in names]

    def held(chosen, seed=0, share=0.1):
        found = folder.hold_out(
            "root", [names[i] for i in chosen], [classes[i] for i in chosen], share, seed
        )
        return {names[chosen[i]] for i in np.flatnonzero(found)}

    everything = list(range(300))
    assert held(everything) == held(everything[::-1])
    assert len(held(everything)) == 30
    assert held(everything) != held(everything, seed=1)
    # One picture more changes at most one choice.
    assert len(held(everything) ^ held(everything[:-1])) <= 2
    # The last one of a class is never held out.
    assert len(held(everything, share=0.99)) == 297
