"""Grids of sample images, and of images along paths between latent codes."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

GAP = 2
"""Pixels between images."""
WHITE = 255

LatentPath = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(start [n, d], end [n, d], steps) -> [n, steps, d], from start to end inclusive."""


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Returns one picture of all images, row by row, uint8 [height, width, 3].

    `jaxgan.reporting.media.image` shows it in TensorBoard.

    Args:
        images: uint8 [n, H, W, C] with 1 or 3 channels; n is at least 1.
        columns: images in a row; by default as many as make the grid about square.

    Raises:
        TypeError: the images are of another type or shape.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise TypeError(
            f"images must be uint8 [n, H, W, 1 or 3], not {images.dtype} {list(images.shape)}"
        )
    count, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    grid = np.full(shape, WHITE, np.uint8)
    for index, pixels in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        grid[top : top + height, left : left + width] = pixels
    return grid


def png(pixels: np.ndarray) -> bytes:
    """Returns the PNG file of a picture, uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def linear_path(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Returns points on straight lines, float [n, steps, d], for uniform latent codes.

    Args:
        start: float [n, d].
        end: float [n, d].
        steps: at least 2.
    """
    share = np.linspace(0, 1, steps)[:, None]
    return (1 - share) * start[:, None] + share * end[:, None]


def spherical_path(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Returns points on arcs, float [n, steps, d], for Gaussian latent codes (White 2016).

    Points on a straight line between Gaussian codes are shorter than the codes that a generator was
    trained on.

    Args:
        start: float [n, d].
        end: float [n, d].
        steps: at least 2.
    """
    lengths = np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1)
    # A code of zeros has no direction, so it counts as having that of the other one.
    cosine = np.where(
        lengths > 0, np.sum(start * end, axis=1) / np.where(lengths > 0, lengths, 1), 1
    )
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]
    share = np.linspace(0, 1, steps)[:, None]
    # Codes of the same or of opposite direction have no arc, or no single one.
    has_arc = np.sin(angle) > 1e-6
    sine = np.where(has_arc, np.sin(angle), 1)
    arc = (
        np.sin((1 - share) * angle) / sine * start[:, None]
        + np.sin(share * angle) / sine * end[:, None]
    )
    return np.where(has_arc, arc, linear_path(start, end, steps))


def interpolation_grid(
    sample: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    steps: int,
    path: LatentPath,
) -> np.ndarray:
    """Returns a picture with a row for each pair of latent codes, uint8 [height, width, 3].

    Args:
        sample: float32 [n, d] -> uint8 [n, H, W, 1 or 3], the generator.
        start: float [rows, d], the codes of the first column.
        end: float [rows, d], those of the last.
        steps: images in a row, at least 2.
        path: `linear_path` or `spherical_path`.
    """
    codes = path(start, end, steps).astype(np.float32)
    return image_grid(sample(codes.reshape(-1, codes.shape[-1])), columns=steps)
