import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from jaxgan.images.data import glyphs


@pytest.fixture(scope="module")
def images():
    return glyphs.make("train", 840, 0)


def test_images_are_grey_and_all_classes_equally_frequent(images):
    assert images.values.shape == (840, 28, 28, 1)
    assert (images.values.dtype, images.labels.dtype) == (np.uint8, np.int32)
    assert np.bincount(images.labels).tolist() == [84] * 10
    assert images.classes == tuple("0123456789")


def test_the_same_seed_gives_the_same_bytes_on_every_run_and_machine():
    made = glyphs.make("train", 30, 7)
    content = made.values.tobytes() + made.labels.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "1df7511fb8c17e0a"


def test_seeds_and_sets_differ(images):
    assert (glyphs.make("train", 840, 1).values != images.values).any()
    assert (glyphs.make("valid", 840, 0).values != images.values).any()


def test_every_image_is_different_and_lies_within_the_picture(images):
    flat = images.values.reshape(len(images), -1)
    assert len(np.unique(flat, axis=0)) == len(images)
    assert (flat.max(axis=1) > 200).all()
    # What touches the border may be cut off; a corner of a wide digit rarely does.
    border = np.ones((28, 28), bool)
    border[1:-1, 1:-1] = False
    assert (images.values[:, border].max(axis=(1, 2)) > 128).mean() < 0.02


def test_digits_can_be_told_apart():
    """The nearest of 4000 other images has the same label for 95 of 100."""
    train, valid = glyphs.make("train", 4000, 0), glyphs.make("valid", 300, 0)
    known, new = (s.values.reshape(len(s), -1).astype(np.float32) / 255 for s in (train, valid))
    distance = (known**2).sum(1) - 2 * new @ known.T
    assert (train.labels[distance.argmin(axis=1)] == valid.labels).mean() > 0.95


def test_distances_of_a_square_with_a_hole_are_exact():
    outer = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    hole = outer[::-1] / 2  # the other way around
    starts = np.concatenate([outer, hole])
    ends = np.concatenate([np.roll(outer, -1, axis=0), np.roll(hole, -1, axis=0)])
    axis = np.array([-0.8, -0.5, -0.3, 0.0, 0.4, 0.8])
    field = glyphs._field((starts, ends), axis)
    x, y = np.meshgrid(axis, axis)
    far = np.maximum(abs(x), abs(y))
    corner = np.hypot(np.maximum(abs(x) - 0.5, 0), np.maximum(abs(y) - 0.5, 0))
    to_hole = np.where(
        far < 0.25, far - 0.25, np.hypot(*(np.maximum(abs(v) - 0.25, 0) for v in (x, y)))
    )
    expected = np.where(far > 0.5, -corner, np.minimum(0.5 - far, to_hole))
    np.testing.assert_allclose(field, expected, atol=1e-6)


def test_overlapping_contours_are_inside():
    def square(left):
        return np.array([[left, -0.3], [left + 0.4, -0.3], [left + 0.4, 0.3], [left, 0.3]])

    squares = [square(-0.4), square(-0.2)]
    starts = np.concatenate(squares)
    ends = np.concatenate([np.roll(corners, -1, axis=0) for corners in squares])
    field = glyphs._field((starts, ends), np.array([-0.6, -0.3, -0.1, 0.1]))
    assert (field[2] > 0).tolist() == [False, True, True, True]


@pytest.fixture
def plain(monkeypatch):
    """Undistorted images and the font of each."""
    for name, value in {"SCALE": (1, 1), "ASPECT": (1, 1), "STROKE": (0, 0)}.items():
        monkeypatch.setattr(glyphs, name, value)
    for name in ("ROTATION", "SHEAR", "SHIFT"):
        monkeypatch.setattr(glyphs, name, 0.0)
    images = glyphs.make("train", 200, 0)
    random = np.random.default_rng((0, 0))
    random.permutation(200)
    faces = random.permutation(np.arange(200) % len(glyphs.FACES))
    folder = glyphs.FilePath(glyphs.matplotlib.get_data_path()) / "fonts" / "ttf"
    return images, [folder / f"{glyphs.FACES[face]}.ttf" for face in faces]


def test_digits_are_upright_and_look_as_pillow_draws_them(plain):
    images, fonts = plain
    for index in range(0, 200, 7):
        font = ImageFont.truetype(str(fonts[index]), 200)
        drawn = Image.new("L", (400, 400))
        ImageDraw.Draw(drawn).text((100, 50), str(images.labels[index]), 255, font)
        left, top, right, bottom = drawn.getbbox()
        x, y, half = (left + right) / 2, (top + bottom) / 2, (bottom - top) * 14 / glyphs.HEIGHT
        square = (x - half, y - half, x + half, y + half)
        expected = np.asarray(drawn.resize((28, 28), Image.Resampling.BOX, square)).ravel()
        assert np.corrcoef(expected, images.values[index].ravel())[0, 1] > 0.98


def test_without_distortion_the_pixels_are_the_covered_area(plain):
    """A digit's area in pixels equals the area of its outline by the shoelace formula."""
    images, fonts = plain
    for index in range(0, 200, 7):
        (x0, y0), (x1, y1) = (
            corners.T for corners in glyphs._outline(fonts[index], str(images.labels[index]))
        )
        area = abs((x0 * y1 - x1 * y0).sum()) / 2 * glyphs.HEIGHT**2
        np.testing.assert_allclose(images.values[index].sum() / 255, area, rtol=0.06)


def test_thicker_strokes_cover_more(monkeypatch):
    def brightness(stroke):
        monkeypatch.setattr(glyphs, "STROKE", (stroke, stroke))
        return glyphs.make("train", 50, 0).values.mean(axis=(1, 2, 3))

    thin, thick = brightness(0.0), brightness(0.05)
    assert (thick > thin * 1.1).all()


def test_images_come_from_the_cache_and_a_damaged_entry_is_made_again(own_cache, monkeypatch):
    made = glyphs.open_set("train", 30, 0)
    (entry,) = (own_cache / "glyphs").iterdir()
    original = glyphs.make
    monkeypatch.setattr(glyphs, "make", None)
    again = glyphs.open_set("train", 30, 0)
    np.testing.assert_array_equal(again.values, made.values)
    np.testing.assert_array_equal(again.labels, made.labels)
    monkeypatch.setattr(glyphs, "make", original)
    for content in (b"damaged", b"", (entry / "values.npy").read_bytes()[:-100]):
        (entry / "values.npy").write_bytes(content)
        np.testing.assert_array_equal(glyphs.open_set("train", 30, 0).values, made.values)
