"""The built-in images: digits in the typefaces that matplotlib ships, distorted at random.

A digit of a face is kept as its signed distance field: the distance of each point of a grid to the
outline, positive inside. An image samples that field at randomly rotated, sheared, scaled and
shifted places, and a random amount added to the distance makes the strokes thicker.
"""

import functools
from pathlib import Path as FilePath

import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from jaxgan.core import cache
from jaxgan.images.data.dataset import Images

RULES = "1"
"""Part of the cache key; increased whenever a change to the code changes the images."""
SIZE = 28
"""Pixels of a side, as in MNIST."""
CLASSES = tuple("0123456789")
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSansMono-BoldOblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    *("STIXGeneralBolIta", "cmr10", "cmb10", "cmss10", "cmtt10"),
)
"""Files of the font folder of every matplotlib from 3.9 on, without suffix."""
STREAMS = {"train": 0, "valid": 1}
"""Part of the seed, so that the two sets differ."""

# The distributions were chosen by eye: varied, and legible to a person.
HEIGHT = 20.0
"""Pixels of a digit's height before distortion, as in MNIST, where digits fit a box of 20."""
SCALE = (0.8, 1.05)
"""The height's factor."""
ASPECT = (0.85, 1.15)
"""The width's further factor."""
ROTATION = 15.0
"""Degrees, either way."""
SHEAR = 0.2
"""Tangent of the slant, either way."""
SHIFT = 2.0
"""Pixels, either way along both axes."""
STROKE = (0.0, 0.025)
"""Added on either side of a stroke, as a share of the height."""

GRID = 64
"""Points of a side of a distance field."""
EXTENT = 0.8
"""A field covers [-EXTENT, EXTENT] along both axes, in heights of a digit around its centre."""
CHUNK = 500
"""The number of images that are computed together."""


def make(name: str, count: int, seed: int) -> Images:
    """Returns digits, white on black: uint8 [count, 28, 28, 1], labels 0 to 9.

    They depend only on the arguments and on matplotlib's fonts. All classes, and all faces, occur
    equally often, to within one where `count` is not a multiple of their number.

    Args:
        name: "train" or "valid".
        count: the number of images.
        seed: determines, together with `name`, everything random.
    """
    random = np.random.default_rng((seed, STREAMS[name]))
    labels = random.permutation(np.arange(count) % len(CLASSES)).astype(np.int32)
    faces = random.permutation(np.arange(count) % len(FACES))
    matrices, offsets = _distortions(count, random)
    strokes = random.uniform(*STROKE, count).astype(np.float32)
    fields = _fields()
    values = np.empty((count, SIZE, SIZE, 1), np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        values[part, ..., 0] = _draw(
            fields, faces[part], labels[part], matrices[part], offsets[part], strokes[part]
        )
    return Images(values, labels, CLASSES)


def _distortions(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns maps from pixels to places in a digit: float32 [count, 2, 2] and [count, 2].

    A place is matrix @ (pixel - offset), where pixels count from the middle of the image, x to the
    right and y downwards, and places are in heights of the digit from its centre, y upwards.
    """
    angle = np.deg2rad(random.uniform(-ROTATION, ROTATION, count))
    shear = random.uniform(-SHEAR, SHEAR, count)
    height = HEIGHT * random.uniform(*SCALE, count)
    width = height * random.uniform(*ASPECT, count)
    offsets = random.uniform(-SHIFT, SHIFT, (count, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    # Rotate back, then turn y upwards, then shear, then scale.
    across = np.stack([cos - shear * sin, sin + shear * cos], -1) / width[:, None]
    upwards = np.stack([sin, -cos], -1) / height[:, None]
    # float32 absorbs the last bits, in which two machines' sines may differ.
    return np.stack([across, upwards], 1).astype(np.float32), offsets.astype(np.float32)


def _draw(
    fields: np.ndarray,
    faces: np.ndarray,
    labels: np.ndarray,
    matrices: np.ndarray,
    offsets: np.ndarray,
    strokes: np.ndarray,
) -> np.ndarray:
    """Returns images uint8 [B, 28, 28], interpolating the fields linearly."""
    middle = np.float32((SIZE - 1) / 2)
    pixel = np.arange(SIZE, dtype=np.float32) - middle
    x = pixel[None, None, :] - offsets[:, 0, None, None]
    y = pixel[None, :, None] - offsets[:, 1, None, None]
    m = matrices[:, :, :, None, None]
    column = _grid_position(m[:, 0, 0] * x + m[:, 0, 1] * y)
    row = _grid_position(m[:, 1, 0] * x + m[:, 1, 1] * y)
    left, below = column.astype(np.int32), row.astype(np.int32)
    right_share, above_share = column - left, row - below
    flat = fields.reshape(-1)
    first = (faces * len(CLASSES) + labels)[:, None, None] * GRID * GRID + below * GRID + left
    lower = flat[first] * (1 - right_share) + flat[first + 1] * right_share
    upper = flat[first + GRID] * (1 - right_share) + flat[first + GRID + 1] * right_share
    distance = lower * (1 - above_share) + upper * above_share + strokes[:, None, None]
    # The distance in pixels from the edge of the stroke is about the share of a pixel it covers.
    height = 1 / np.sqrt(np.square(matrices[:, 1]).sum(-1))
    covered = np.clip(distance * height[:, None, None] + np.float32(0.5), 0, 1)
    drawn: np.ndarray = np.rint(covered * 255).astype(np.uint8)
    return drawn


def _grid_position(place: np.ndarray) -> np.ndarray:
    """Returns where on a field's grid a place is, at most its last cell; its edge is outside."""
    scale, shift = np.float32((GRID - 1) / (2 * EXTENT)), np.float32((GRID - 1) / 2)
    return np.clip(place * scale + shift, 0, np.float32(GRID - 1.001))


@functools.cache
def _fields() -> np.ndarray:
    """Returns the distance fields, in heights of a digit: float32 [faces, 10, GRID, GRID]."""
    folder = FilePath(matplotlib.get_data_path()) / "fonts" / "ttf"
    axis = np.linspace(-EXTENT, EXTENT, GRID)
    return np.stack(
        [
            np.stack([_field(_outline(folder / f"{face}.ttf", digit), axis) for digit in CLASSES])
            for face in FACES
        ]
    )


def _outline(font: FilePath, digit: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the sides of a digit's outline start and end: two float64 [n, 2], in heights.

    The digit's bounding box is centred at 0, since old typefaces place it differently.
    """
    path = TextPath((0, 0), digit, size=100, prop=FontProperties(fname=font))
    # FreeType 2.6 and 2.14 differ by 1/64 in a few corners; rounded, they give the same images.
    rounded = Path(np.round(path.vertices * 5) / 5, path.codes)
    # Each is closed: its last corner is its first.
    polygons = [np.asarray(polygon) for polygon in rounded.to_polygons()]
    corners = np.concatenate(polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre, height = (low + high) / 2, high[1] - low[1]
    starts = np.concatenate([polygon[:-1] for polygon in polygons])
    ends = np.concatenate([polygon[1:] for polygon in polygons])
    return (starts - centre) / height, (ends - centre) / height


def _field(outline: tuple[np.ndarray, np.ndarray], axis: np.ndarray) -> np.ndarray:
    """Returns the signed distance to an outline on the grid axis x axis: float32 [rows, columns].

    A point is inside if the outline winds around it, which holds for contours that overlap as well.
    """
    (x0, y0), (x1, y1) = (corners.T[:, :, None, None] for corners in outline)
    x, y = axis[None, None, :], axis[None, :, None]
    dx, dy = x1 - x0, y1 - y0
    # Sides of no length would divide by 0; their own distance is that to a corner.
    length = np.maximum(dx * dx + dy * dy, 1e-12)
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1)
    squared = np.square(x - x0 - along * dx) + np.square(y - y0 - along * dy)
    left_of = dx * (y - y0) - dy * (x - x0) > 0
    winding = ((y0 <= y) & (y1 > y) & left_of).sum(0) - ((y1 <= y) & (y0 > y) & ~left_of).sum(0)
    distance = np.sqrt(squared.min(axis=0))
    return np.where(winding != 0, distance, -distance).astype(np.float32)


def open_set(name: str, count: int, seed: int) -> Images:
    """Returns `make(name, count, seed)`, from the user's cache folder if it is there."""
    label = f"{name}-{count}-{seed}-{RULES}-matplotlib-{matplotlib.__version__}"
    entry = cache.folder() / "glyphs" / label

    def read(folder: FilePath) -> Images:
        return _read_entry(folder, count)

    cached = cache.read(entry, read, "drawing the glyphs again")
    if cached is not None:
        return cached
    images = make(name, count, seed)
    cache.put(entry, lambda folder: _save(folder, images))
    return images


def _save(folder: FilePath, images: Images) -> None:
    np.save(folder / "values.npy", images.values)
    np.save(folder / "labels.npy", images.labels)


def _read_entry(entry: FilePath, count: int) -> Images:
    values, labels = (
        np.load(entry / f"{name}.npy", allow_pickle=False) for name in ("values", "labels")
    )
    images = Images(values, labels, CLASSES)
    if images.values.shape != (count, SIZE, SIZE, 1) or len(images.labels) != count:
        raise ValueError("it has another number of images")
    return images
