"""Points in the plane: mixtures of Gaussians that show mode collapse, and a user's own points.

Lin, Khetan, Fanti, Oh, "PacGAN: The power of two samples in generative adversarial networks", 2018,
section 4.1, defines the ring and the grid as the settings have them, and counts a mode as covered
if a sample is within three standard deviations of its centre.
"""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.images.data.dataset import Images, Opened, without_labels

RING_MODES = 8
GRID_SIDE = 5
STREAMS = (0, 1)
"""Part of the seeds of the training and the validation set."""


def ring_centres(radius: float) -> np.ndarray:
    """Returns the centres of 8 modes, equally far apart on a circle: float64 [8, 2]."""
    angles = 2 * np.pi * np.arange(RING_MODES) / RING_MODES
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def grid_centres(spacing: float) -> np.ndarray:
    """Returns the centres of 25 modes on a square grid around 0: float64 [25, 2]."""
    places = spacing * (np.arange(GRID_SIDE) - (GRID_SIDE - 1) / 2)
    return np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)


def mixture(centres: np.ndarray, sd: float, count: int, random: np.random.Generator) -> Images:
    """Returns points of a mixture of Gaussians of equal weight.

    Args:
        centres: float [modes, 2].
        sd: the standard deviation of every mode along both axes.
        count: how many points.
        random: draws the modes, then the points.

    Returns:
        float32 [count, 2]; the label of a point is the number of its mode.
    """
    labels = random.integers(len(centres), size=count, dtype=np.int32)
    values = centres[labels] + sd * random.standard_normal((count, 2))
    return Images(values.astype(np.float32), labels, tuple(map(str, range(len(centres)))))


def open_ring(data: ConfigDict) -> Opened:
    """Returns points of eight modes on a circle."""
    return _open(ring_centres(data.ring.radius), data.ring.sd, data)


def open_grid25(data: ConfigDict) -> Opened:
    """Returns points of 25 modes on a square grid."""
    return _open(grid_centres(data.grid25.spacing), data.grid25.sd, data)


def _open(centres: np.ndarray, sd: float, data: ConfigDict) -> Opened:
    train, valid = (
        mixture(centres, sd, count, np.random.default_rng((data.seed, stream)))
        for count, stream in zip((data.train, data.valid), STREAMS, strict=True)
    )
    return Opened(train, valid)


def open_points(data: ConfigDict) -> Opened:
    """Returns the points of the file `data.root`, a random `data.valid_share` of them held out.

    Raises:
        UserError: the file cannot be read as points; see `read_points`.
    """
    points = without_labels(read_points(data.root))
    count = len(points)
    if count < 2:
        raise UserError(
            f"config.data.root={data.root}: one point is not enough for training and validation"
        )
    order = np.random.default_rng(data.seed).permutation(count)
    held_out = min(max(round(data.valid_share * count), 1), count - 1)
    return Opened(points.select(np.sort(order[held_out:])), points.select(order[:held_out]))


def read_points(name: str) -> np.ndarray:
    """Returns the points of a file: float32 [n, 2].

    Args:
        name: a .npy file of numbers [n, 2], or a .csv file with two numbers on every line, perhaps
            after a line of names.

    Raises:
        UserError: the file cannot be read, holds anything else, or a number is not finite.
    """
    key = f"config.data.root={name}"
    path = Path(name).expanduser()
    if path.suffix.lower() not in (".csv", ".npy"):
        raise UserError(f"{key}: give a .csv or .npy file of points, two numbers each")
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays")
        else:
            array = _read_csv(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{key} cannot be read as points ({error})") from error
    if array.dtype.kind not in "iuf":
        raise UserError(f"{key} holds {array.dtype} values: points are real numbers")
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise UserError(f"{key} has the shape {list(array.shape)}: points need [n, 2]")
    with np.errstate(over="ignore"):
        points = array.astype(np.float32)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise UserError(f"{key}: point {row + 1} is not finite in float32")
    return points


def _read_csv(text: str) -> np.ndarray:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows = []
    for position, (number, line) in enumerate(lines):
        try:
            rows.append([float(cell) for cell in line.split(",")])
        except ValueError as error:
            if position:
                raise ValueError(f"line {number} is {line[:40]!r}") from error
            continue  # names of the columns
        if len(rows[-1]) != 2:
            raise ValueError(f"line {number} holds {len(rows[-1])} numbers, not 2")
    return np.array(rows).reshape(-1, 2)
