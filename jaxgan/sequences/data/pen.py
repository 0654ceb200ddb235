"""Generated handwriting: letters of a few lines and arcs, written with an unsteady hand."""

import math
import random

import numpy as np

SPACING = 0.16
"""The distance between neighbouring points, in heights of a small letter."""
TREMBLE = 0.015
"""The standard deviation of the error of each coordinate of a point, in the same unit."""
GAP = 0.3
"""The distance between two letters, in the same unit."""
Stroke = list[tuple[float, float]]


def _arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Stroke:
    """Returns corners of an arc of an ellipse; angles in degrees, clockwise from the right."""
    steps = max(2, round(abs(end - start) / 20))
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


LETTERS: dict[str, tuple[float, list[Stroke]]] = {
    "a": (0.8, [_arc(0.35, 0.5, 0.35, 0.5, -30, -330), [(0.7, 0.0), (0.7, 0.9), (0.8, 1.0)]]),
    "c": (0.65, [_arc(0.4, 0.5, 0.4, 0.5, -50, -310)]),
    "e": (0.75, [[(0.02, 0.5), (0.72, 0.5), *_arc(0.37, 0.5, 0.37, 0.5, 0, -310)]]),
    "i": (0.15, [[(0.05, 0.0), (0.05, 0.9), (0.15, 1.0)], [(0.05, -0.4), (0.07, -0.35)]]),
    "l": (0.2, [[(0.05, -0.8), (0.05, 0.85), (0.2, 1.0)]]),
    "n": (0.7, [[(0.0, 0.0), (0.0, 1.0), *_arc(0.35, 0.4, 0.35, 0.4, -180, 0), (0.7, 1.0)]]),
    "o": (0.75, [_arc(0.37, 0.5, 0.37, 0.5, -90, -450)]),
    "t": (0.5, [[(0.25, -0.5), (0.25, 0.9), (0.4, 1.0)], [(0.0, 0.0), (0.5, 0.0)]]),
    "u": (0.7, [[(0.0, 0.0), *_arc(0.35, 0.6, 0.35, 0.4, 180, 0), (0.7, 0.0), (0.7, 1.0)]]),
    "v": (0.7, [[(0.0, 0.0), (0.35, 1.0), (0.7, 0.0)]]),
}
"""The width and the strokes of each letter; y grows downwards, from 0 to 1 in a small letter."""


def make_lines(count: int, seed: int) -> list[tuple[np.ndarray, str]]:
    """Returns lines of random letters, as points of a pen and as text.

    Size, slant and width of a line are random, and so is a small error of every point.

    Args:
        count: how many lines.
        seed: the seed of the draw.

    Returns:
        For each line its points, float32 [n, 3], in the form of `read_strokes`, and the three to
        six letters that they write.
    """
    draw, found = random.Random(seed), []
    for _ in range(count):
        text = "".join(draw.choice(sorted(LETTERS)) for _ in range(draw.randint(3, 6)))
        found.append((_write(text, draw), text))
    return found


def _write(text: str, draw: random.Random) -> np.ndarray:
    size, slant, width = draw.uniform(0.85, 1.15), draw.uniform(-0.1, 0.3), draw.uniform(0.85, 1.15)
    places: Stroke = []
    pens, left = [], 0.0
    for letter in text:
        advance, strokes = LETTERS[letter]
        for stroke in strokes:
            points = _resample([(width * (left + x), y) for x, y in stroke])
            for number, (x, y) in enumerate(points):
                x, y = size * (x + slant * (1 - y)), size * y
                places.append((x + draw.gauss(0, TREMBLE), y + draw.gauss(0, TREMBLE)))
                pens.append(float(number == len(points) - 1))
        left += advance + GAP
    offsets = np.diff(np.array(places), axis=0, prepend=[places[0]])
    return np.column_stack([offsets, pens]).astype(np.float32)


def _resample(corners: Stroke) -> Stroke:
    """Returns points at about equal distances along straight lines between corners."""
    x, y = np.array(corners).T
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    where = np.linspace(0, along[-1], max(2, round(along[-1] / SPACING) + 1))
    return list(zip(np.interp(where, along, x), np.interp(where, along, y), strict=True))
