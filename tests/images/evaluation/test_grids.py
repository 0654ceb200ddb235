import io

import numpy as np
import pytest
from PIL import Image

from jaxgan.images.evaluation import grids
from jaxgan.images.evaluation.grids import (
    image_grid,
    interpolation_grid,
    linear_path,
    png,
    spherical_path,
)

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_image_at_its_place(channels):
    images = RANDOM.integers(256, size=(5, 4, 6, channels), dtype=np.uint8)
    grid = image_grid(images, columns=3)
    assert grid.shape == (2 * 4 + grids.GAP, 3 * 6 + 2 * grids.GAP, 3)
    assert grid.dtype == np.uint8
    for index, pixels in enumerate(images):
        top, left = index // 3 * (4 + grids.GAP), index % 3 * (6 + grids.GAP)
        cut = grid[top : top + 4, left : left + 6]
        np.testing.assert_array_equal(cut, np.broadcast_to(pixels, (4, 6, 3)))
    assert (grid[4 : 4 + grids.GAP] == grids.WHITE).all()
    assert (grid[4 + grids.GAP :, 2 * (6 + grids.GAP) :] == grids.WHITE).all()  # no sixth image


def test_a_grid_is_about_square():
    images = np.zeros((10, 4, 4, 1), np.uint8)
    assert image_grid(images).shape == (3 * 6 - 2, 4 * 6 - 2, 3)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8)],
)
def test_other_arrays_are_refused(images):
    with pytest.raises(TypeError, match=r"^images must be uint8 \[n, H, W, 1 or 3\], not "):
        image_grid(images)


def test_a_png_holds_the_pixels():
    pixels = RANDOM.integers(256, size=(5, 7, 3), dtype=np.uint8)
    content = png(pixels)
    assert content.startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_a_path_leads_from_start_to_end(path):
    start, end = RANDOM.normal(size=(2, 4, 6))
    found = path(start, end, 5)
    assert found.shape == (4, 5, 6)
    np.testing.assert_allclose(found[:, 0], start, atol=1e-12)
    np.testing.assert_allclose(found[:, -1], end, atol=1e-12)
    np.testing.assert_allclose(path(end, start, 5)[:, ::-1], found, atol=1e-12)


def test_the_middle_of_a_line_and_of_an_arc():
    start, end = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    np.testing.assert_allclose(linear_path(start, end, 3)[0, 1], [1, 1])
    np.testing.assert_allclose(spherical_path(start, end, 3)[0, 1], [np.sqrt(2), np.sqrt(2)])


def test_an_arc_has_steps_of_equal_angle_and_length():
    start, end = RANDOM.normal(size=(2, 3, 8))
    start, end = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (start, end))
    path = spherical_path(start, end, 6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=-1), 1)
    cosines = np.sum(path[:, 1:] * path[:, :-1], axis=-1)
    np.testing.assert_allclose(cosines, np.repeat(cosines[:, :1], 5, axis=1))


@pytest.mark.parametrize("end", [[1.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], ids=str)
def test_codes_without_an_arc_are_joined_by_a_line(end):
    start, end = np.array([[1.0, 0.0]]), np.array([end])
    np.testing.assert_allclose(spherical_path(start, end, 5), linear_path(start, end, 5), atol=1e-6)


def test_an_interpolation_has_a_row_for_each_pair():
    seen = []

    def sample(codes):
        seen.append(codes)
        return np.clip(codes[:, :1, None, None], 0, 255).astype(np.uint8).repeat(2, 1).repeat(2, 2)

    start, end = np.array([[0.0, 5.0], [100.0, 5.0]]), np.array([[40.0, 5.0], [180.0, 5.0]])
    grid = interpolation_grid(sample, start, end, 5, linear_path)
    assert seen[0].dtype == np.float32
    assert grid.shape == (2 * 2 + 2, 5 * 2 + 4 * 2, 3)
    np.testing.assert_array_equal(grid[0, ::4, 0], [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(grid[4, ::4, 0], [100, 120, 140, 160, 180])
