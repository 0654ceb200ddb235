"""Draws the points of a pen on a page, as SVG and as PNG."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

WIDTH = 1000
"""The largest width of a page, in pixels."""
MARGIN = 20
LARGEST_SCALE = 12.0
"""The most pixels of an offset of 1, so that a short line does not fill the page."""
SMOOTHING = 2
"""How many times larger a bitmap is drawn than it is saved."""


def strokes(points: np.ndarray) -> list[np.ndarray]:
    """Returns the places [m, 2] of every stroke of a sequence.

    Args:
        points: [n, 3]: offset x, offset y (downwards), and 1 where the pen is lifted.
    """
    places = np.cumsum(points[:, :2], axis=0, dtype=np.float64)
    ends = np.flatnonzero(points[:, 2] > 0.5) + 1
    return [stroke for stroke in np.split(places, ends) if len(stroke)]


def page(sequences: Sequence[np.ndarray]) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Returns the strokes of sequences, one below the other, and the page's width and height.

    All are in pixels.

    Args:
        sequences: one or more, [n, 3] each, see `strokes`.
    """
    drawn = [strokes(points) for points in sequences]
    boxes = [np.concatenate(each) for each in drawn]
    widest = max(float(np.ptp(box[:, 0])) for box in boxes)
    scale = min(LARGEST_SCALE, (WIDTH - 2 * MARGIN) / max(widest, 1e-9))
    top, found = float(MARGIN), []
    for each, box in zip(drawn, boxes, strict=True):
        corner = box.min(axis=0)
        found += [(stroke - corner) * scale + (MARGIN, top) for stroke in each]
        top += float(np.ptp(box[:, 1])) * scale + MARGIN
    return found, (round(widest * scale) + 2 * MARGIN, round(top))


def svg(sequences: Sequence[np.ndarray]) -> str:
    """Returns a page of sequences as an SVG document; see `page`."""
    drawn, (width, height) = page(sequences)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        '<g fill="none" stroke="black" stroke-width="2" stroke-linecap="round">',
    ]
    for stroke in drawn:
        # A stroke of one point is a dot only if it has a line.
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*stroke, stroke[-1]))
        lines.append(f'<polyline points="{places}"/>')
    return "\n".join([*lines, "</g>", "</svg>", ""])


def pixels(sequences: Sequence[np.ndarray]) -> Image.Image:
    """Returns a page of sequences as a picture, RGB on white; see `page`."""
    drawn, (width, height) = page(sequences)
    picture = Image.new("RGB", (width * SMOOTHING, height * SMOOTHING), "white")
    pen = ImageDraw.Draw(picture)
    for stroke in drawn:
        places = [tuple(place) for place in (np.vstack([stroke, stroke[-1]]) * SMOOTHING).tolist()]
        pen.line(places, fill="black", width=2 * SMOOTHING, joint="curve")
        x, y = places[0]
        pen.ellipse((x - SMOOTHING, y - SMOOTHING, x + SMOOTHING, y + SMOOTHING), fill="black")
    return picture.resize((width, height), Image.Resampling.LANCZOS)
