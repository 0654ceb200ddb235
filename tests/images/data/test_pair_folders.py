"""Folders of two domains, and every kind of bad file in them."""

import numpy as np
import pytest
from image_configs import config
from PIL import Image

from jaxgan.core.errors import UserError
from jaxgan.images.data import pictures
from jaxgan.images.data.domains import digests
from jaxgan.images.data.pair_folders import open_paired, open_unpaired


def save(path, shade, size=(12, 8), mode="RGB", **options):
    """A picture whose grey value identifies it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade,) * 3).convert(mode).save(path, **options)


def data(root, **values):
    made = config().data
    made.update({"root": str(root), "size": 8, "channels": 1, **values})
    return made


def shades(values):
    return sorted(values[:, 0, 0, 0].tolist())


def paired(root, count=5, **options):
    """Pairs of the grey values n and 100 + n in two folders."""
    for number in range(count):
        save(root / "A" / f"{number}.png", number, **options)
        save(root / "B" / f"{number}.png", 100 + number, **options)


def together(found):
    return np.concatenate([found.train.a, found.valid.a]), np.concatenate(
        [found.train.b, found.valid.b]
    )


def reasons(found, root):
    return {
        problem.path.removeprefix(f"{root}/"): problem.reason.replace(str(root), "ROOT")
        for problem in found.problems
    }


def check_pairs(found, expected):
    a, b = together(found)
    assert found.train.paired
    assert shades(a) == expected
    np.testing.assert_array_equal(b, a + 100)


def test_equal_names_in_two_folders_are_a_pair(tmp_path):
    paired(tmp_path)
    found = open_paired(data(tmp_path))
    assert (len(found.train.a), len(found.valid.a), found.problems) == (4, 1, ())
    assert found.train.a.shape[1:] == (8, 8, 1)
    assert str(found.train) == "4 pairs of 8x8x1"
    assert str(found.valid) == "1 pair of 8x8x1"
    check_pairs(found, [0, 1, 2, 3, 4])


def test_the_halves_of_a_picture_are_a_pair(tmp_path):
    for part, numbers in {"train": (0, 1, 2), "val": (3,), "test": (4,)}.items():
        for number in numbers:
            both = Image.new("L", (16, 8), number)
            both.paste(100 + number, (8, 0, 16, 8))
            (tmp_path / part).mkdir(exist_ok=True)
            both.save(tmp_path / part / f"{number}.png")
    found = open_paired(data(tmp_path))
    assert (shades(found.train.a), shades(found.valid.a)) == ([0, 1, 2], [3])
    check_pairs(found, [0, 1, 2, 3])


def test_the_user_can_divide_two_folders(tmp_path):
    for side, offset in (("A", 0), ("B", 100)):
        save(tmp_path / side / "train" / "x.png", 1 + offset)
        save(tmp_path / side / "test" / "x.png", 2 + offset)
    found = open_paired(data(tmp_path))
    assert (shades(found.train.a), shades(found.valid.a)) == ([1], [2])


def test_every_bad_file_of_pairs_has_one_line_and_costs_only_its_pair(tmp_path):
    paired(tmp_path)
    a, b = tmp_path / "A", tmp_path / "B"
    save(a / "alone.png", 0)
    save(b / "lonely.jpg", 0)
    save(a / "unequal.png", 0)
    save(b / "unequal.png", 0, size=(12, 9))
    (a / "damaged.png").write_bytes(b"no picture")
    save(b / "damaged.png", 0)
    save(a / "cut.png", 0, size=(64, 64))
    whole = (a / "cut.png").read_bytes()
    save(b / "cut.png", 0, size=(64, 64))
    (b / "cut.png").write_bytes(whole[: len(whole) - 20])
    save(a / "0.bmp", 0)
    found = open_paired(data(tmp_path))
    check_pairs(found, [0, 1, 2, 3, 4])
    known = reasons(found, tmp_path)
    assert known.pop("B/cut.png").startswith("cannot be decoded")
    assert known == {
        "A/alone.png": "has no partner of this name in ROOT/B",
        "B/lonely.jpg": "has no partner of this name in ROOT/A",
        "A/unequal.png": "is 12x8, and its partner is 12x9",
        "A/damaged.png": "is not a picture that Pillow can read",
        "A/0.png": "has the name of 0.bmp except for the suffix",
    }


def test_grey_beside_colour_alpha_and_rotation_are_converted(tmp_path):
    paired(tmp_path, 2)
    save(tmp_path / "B" / "0.png", 100, mode="L")
    clear = Image.new("RGBA", (12, 8), (0, 0, 0, 0))
    clear.save(tmp_path / "A" / "clear.png")
    save(tmp_path / "B" / "clear.png", 100)
    # Stored as 8 x 12, upright 12 x 8, white above black.
    turned = Image.new("L", (8, 12), 0)
    turned.paste(255, (0, 0, 4, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "A" / "turned.png", exif=exif)
    save(tmp_path / "B" / "turned.png", 100)
    assert pictures.dimensions(tmp_path / "A" / "turned.png") == (12, 8)
    found = open_paired(data(tmp_path))
    assert found.problems == ()
    a, _ = together(found)
    assert shades(a) == [0, 1, 255, 255]
    [upright] = [image for image in a if image.min() < 9 and image.max() > 240]
    assert upright[0].min() > 240
    assert upright[-1].max() < 9


def test_bad_side_by_side_pictures_have_one_line_each(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png", number, size=(16, 8))
    save(tmp_path / "odd.png", 0, size=(17, 8))
    (tmp_path / "1b.png").write_bytes(b"no picture")
    found = open_paired(data(tmp_path))
    assert shades(together(found)[0]) == [0, 1, 2]
    assert reasons(found, tmp_path) == {
        "1b.png": "is not a picture that Pillow can read",
        "odd.png": "has an odd width of 17 pixels, so it is not two pictures side by side",
    }


def test_pairs_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"data.root=.*: holds no pair of pictures that can be use"):
        open_paired(data(tmp_path))
    save(tmp_path / "A" / "1.png", 0)
    save(tmp_path / "B" / "2.png", 0)
    with pytest.raises(UserError, match=r"for example .*A/1.png: has no partner"):
        open_paired(data(tmp_path))


def test_domains_without_pairs(tmp_path):
    for number in range(4):
        save(tmp_path / "trainA" / f"{number}.png", number)
    for number in range(6):
        save(tmp_path / "trainB" / f"{number}.png", 100 + number, size=(30, 40))
    (tmp_path / "trainB" / "3b.png").write_bytes(b"no picture")
    found = open_unpaired(data(tmp_path))
    assert str(found.train) == "3 of A and 5 of B, 8x8x1"
    assert shades(together(found)[0]) == [0, 1, 2, 3]
    assert reasons(found, tmp_path) == {"trainB/3b.png": "is not a picture that Pillow can read"}
    save(tmp_path / "testA" / "0.png", 50)
    with pytest.raises(UserError, match="has only testA; give both testA and testB, or none"):
        open_unpaired(data(tmp_path))
    save(tmp_path / "testB" / "0.png", 150)
    found = open_unpaired(data(tmp_path))
    assert [len(found.train.a), len(found.train.b)] == [4, 6]
    assert [shades(found.valid.a), shades(found.valid.b)] == [[50], [150]]
    assert not found.train.paired
    assert not found.valid.paired
    same = digests(found.train, found.valid)
    assert same == digests(found.train, found.valid) != digests(found.valid, found.train)


def test_an_empty_domain_is_refused(tmp_path):
    for number in range(2):
        save(tmp_path / "trainA" / f"{number}.png", number)
    with pytest.raises(UserError, match="has no folder trainB; give trainA and trainB"):
        open_unpaired(data(tmp_path))
    (tmp_path / "trainB").mkdir()
    with pytest.raises(UserError, match=r"trainB holds no pictures, such as .png or .jpg files"):
        open_unpaired(data(tmp_path))
