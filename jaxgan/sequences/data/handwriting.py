"""Files of handwriting: the points of a pen, and where they are known the texts that they write."""

import itertools
from typing import NamedTuple

import numpy as np
from etils import epath

from jaxgan.core.errors import UserError
from jaxgan.core.npz import read_arrays

WANTED = (
    "give an .npz file with points [N, 3] (the offset x and y, and 1 where the pen is lifted) and "
    "offsets [n + 1] (where each sequence begins, and N)"
)
TRAIN, VALID, TEST = range(3)
"""The values of `split`."""


class Line(NamedTuple):
    """One sequence.

    Attributes:
        points: [n, 3]: the offset (x, y) from the point before, y downwards, and 1 where the pen is
            lifted after the point.
        text: what it writes; "" if that is not known.
        split: `TRAIN`, `VALID` or `TEST`; None if the file does not say.
    """

    points: np.ndarray
    text: str = ""
    split: int | None = None


def read_strokes(path: epath.PathLike, key: str) -> list[Line]:
    """Returns the sequences of an .npz file, without those of fewer than two points.

    Arrays of the file, none of which may need pickle: points [N, 3] of any type of numbers and
    offsets, int [n + 1]: sequence i is points[offsets[i]:offsets[i + 1]]. They may be followed by
    split, int [n], see `TRAIN`, and text [n], bytes or strings.

    Args:
        path: the file.
        key: the config key or flag that names it, followed by "=", for messages.

    Raises:
        UserError: the file cannot be used; the message says why.
    """
    name, source = f"{key}{path}", epath.Path(path).expanduser()
    if source.is_dir():
        raise UserError(f"{name} is a folder: {WANTED}")
    try:
        found = read_arrays(source.read_bytes(), ("points", "offsets", "split", "text"))
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be read ({error}): {WANTED}") from error
    for array in ("points", "offsets"):
        if array not in found:
            raise UserError(f"{name} has no array {array}: {WANTED}")
    points, offsets = found["points"], found["offsets"]
    split, texts = found.get("split"), found.get("text")
    if problem := _problem_of(points, offsets, split, texts):
        raise UserError(f"{name}: {problem}; {WANTED}")
    lines = []
    for number, (start, end) in enumerate(itertools.pairwise(offsets)):
        if end - start >= 2:
            text = "" if texts is None else _decoded(texts[number])
            part = None if split is None else int(split[number])
            lines.append(Line(points[start:end], text, part))
    if not lines:
        raise UserError(f"{name} holds no sequence of two points or more: {WANTED}")
    return lines


def _problem_of(
    points: np.ndarray, offsets: np.ndarray, split: np.ndarray | None, texts: np.ndarray | None
) -> str:
    """Returns what is wrong with the arrays of a file; "" if nothing is."""
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "iuf":
        return f"points are {points.dtype}{list(points.shape)}"
    if not np.isfinite(points).all():
        return f"points[{int(np.argmin(np.isfinite(points).all(axis=1)))}] is not finite"
    if not np.isin(points[:, 2], (0, 1)).all():
        return "points[:, 2] has values other than 0 and 1"
    if offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
        return f"offsets are {offsets.dtype}{list(offsets.shape)}"
    ends = offsets.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(points) or (np.diff(ends) < 0).any():
        return f"offsets do not rise from 0 to the number of points, {len(points)}"
    for array, values, kinds in (("split", split, "iub"), ("text", texts, "SU")):
        if values is not None and (
            values.shape != (len(offsets) - 1,) or values.dtype.kind not in kinds
        ):
            return f"{array} is {values.dtype}{list(values.shape)} for {len(offsets) - 1} sequences"
    if split is not None and not np.isin(split, (TRAIN, VALID, TEST)).all():
        return "split has values other than 0 (train), 1 (valid) and 2 (test)"
    return ""


def _decoded(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
