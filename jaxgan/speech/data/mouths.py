"""Draws videos of mouths that move with phonemes.

A phoneme's viseme says how far the lips are open, how wide and how round they are. The visemes of a
sentence, smoothed over time, shape a mouth that is drawn from ellipses.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.videos import FRAME_SAMPLES

HEIGHT, WIDTH = 24, 32
"""The size of a frame in pixels."""
GRID_SECONDS = 0.01
"""The resolution at which visemes follow each other; a frame is the mean of four steps."""
SMOOTHING_STEPS = 9
"""The length of the Hann window that smooths the movement of the lips: 90 ms, about a phoneme."""


class Viseme(NamedTuple):
    """The shape of the lips, each from 0 to 1.

    Attributes:
        opening: the distance between the lips.
        width: the distance between their corners.
        rounding: how far they are rounded and pushed forward.
    """

    opening: float
    width: float
    rounding: float


REST = Viseme(0.02, 0.5, 0.1)
VISEMES = {
    "pbm": Viseme(0.0, 0.5, 0.2),
    "fvʋɱ": Viseme(0.12, 0.55, 0.1),  # noqa: RUF001
    "θð": Viseme(0.2, 0.55, 0.0),
    "tdnlsz": Viseme(0.22, 0.6, 0.0),
    "rɾɹɻʁʀ": Viseme(0.27, 0.45, 0.4),
    "ʃʒɕʑʂʐ": Viseme(0.25, 0.4, 0.7),
    "jɲʎç": Viseme(0.22, 0.65, 0.0),
    "kɡgxŋɣhɦ": Viseme(0.35, 0.5, 0.1),  # noqa: RUF001
    "wɥ": Viseme(0.12, 0.2, 1.0),
    "iɪᵻɨ": Viseme(0.3, 0.85, 0.0),  # noqa: RUF001
    "eɛ": Viseme(0.5, 0.72, 0.0),
    "æa": Viseme(0.85, 0.65, 0.0),
    "ɑɐ": Viseme(0.95, 0.5, 0.1),
    "əʌɜɚɝɘ": Viseme(0.45, 0.5, 0.1),
    "ɔɒ": Viseme(0.7, 0.35, 0.6),
    "oɤ": Viseme(0.5, 0.3, 0.85),
    "uʊɯ": Viseme(0.25, 0.2, 1.0),  # noqa: RUF001
    "yʏ": Viseme(0.25, 0.25, 0.9),  # noqa: RUF001
    "øœɵ": Viseme(0.45, 0.3, 0.8),
}
"""The viseme of each class of phonemes. The classes follow the visemes of MPEG-4 (ISO/IEC 14496-2),
with more vowels; the numbers were chosen by eye."""
VISEME_OF_SYMBOL = {symbol: viseme for symbols, viseme in VISEMES.items() for symbol in symbols}


@dataclass(frozen=True)
class Face:
    """The geometry and the light of one talker. Lengths are in pixels, light from 0 to 1.

    Attributes:
        half_width: the distance from the mouth's middle to a corner, at width 1 and rounding 0.
        half_height: the distance from the middle to a lip's inner edge, at opening 1.
        lip: the thickness of the lips.
        across: how far the mouth's middle is to the right of the frame's.
        down: how far the mouth's middle is below the frame's.
        skin: the light of the skin.
        lips: the light of the lips.
        shade: how much lighter the right edge of the frame is than the left.
    """

    half_width: float
    half_height: float
    lip: float
    across: float
    down: float
    skin: float
    lips: float
    shade: float


def draw_face(random: np.random.Generator) -> Face:
    """Draws a talker's geometry and light."""
    skin = random.uniform(0.45, 0.8)
    return Face(
        half_width=random.uniform(9, 12),
        half_height=random.uniform(5, 8),
        lip=random.uniform(1.5, 3),
        across=random.uniform(-2, 2),
        down=random.uniform(-1.5, 1.5),
        skin=skin,
        lips=skin * random.uniform(0.5, 0.8),
        shade=random.uniform(-0.15, 0.15),
    )


def visemes_of(ipa: str) -> list[Viseme]:
    """Returns the visemes that a phoneme passes through: two of a diphthong, `REST` in a pause."""
    plain = unicodedata.normalize("NFD", ipa)
    found = [VISEME_OF_SYMBOL[symbol] for symbol in plain if symbol in VISEME_OF_SYMBOL]
    return found or [REST]


def lip_shapes(phonemes: Sequence[tuple[float, str]], frames: int) -> np.ndarray:
    """Returns the lips' opening, width and rounding in each frame: float64 [frames, 3].

    Args:
        phonemes: the start of each in seconds, ascending, and its IPA symbols; see
            `espeak.Phoneme`. Before the first, the mouth is at rest.
        frames: how many frames to return; frame n shows the time from n / 25 s on.
    """
    steps = round(FRAME_SAMPLES / SAMPLE_RATE / GRID_SECONDS)
    times, shapes = [-np.inf], [REST]
    for number, (start, ipa) in enumerate(phonemes):
        passed = visemes_of(ipa)
        end = phonemes[number + 1][0] if number + 1 < len(phonemes) else start
        for part, shape in enumerate(passed):
            times.append(start + (end - start) * part / len(passed))
            shapes.append(shape)
    half = SMOOTHING_STEPS // 2
    grid = (np.arange(-half, frames * steps + half) + 0.5) * GRID_SECONDS
    shown = np.array(shapes)[np.searchsorted(times, grid, side="right") - 1]
    window = np.hanning(SMOOTHING_STEPS + 2)[1:-1]
    smooth = [np.convolve(track, window / window.sum(), "valid") for track in shown.T]
    return np.stack(smooth, -1).reshape(frames, steps, 3).mean(1)


def draw_video(shape: np.ndarray, face: Face, random: np.random.Generator) -> np.ndarray:
    """Draws a video of a mouth.

    The head moves by up to about two pixels, the light flickers, and the camera adds noise.

    Args:
        shape: float64 [F, 3], from `lip_shapes`.
        face: the talker.
        random: draws the jitter, the flicker and the noise.

    Returns:
        uint8 [F, HEIGHT, WIDTH].
    """
    count = len(shape)
    opening, width, rounding = (track[:, None, None] for track in shape.T)
    jitter = _wander(count, 2, random)[:, None, None]
    rows = np.arange(HEIGHT)[:, None] - (HEIGHT - 1) / 2 - face.down - jitter[..., 0]
    columns = np.arange(WIDTH)[None] - (WIDTH - 1) / 2 - face.across - jitter[..., 1]
    half_width = face.half_width * (0.5 + 0.5 * width) * (1 - 0.3 * rounding)
    half_height = face.half_height * opening
    lip = face.lip * (1 + 0.4 * rounding)
    outer = _inside(columns / (half_width + lip / 2), rows / (half_height + lip), lip)
    inner = _inside(columns / half_width, rows / np.maximum(half_height, 0.1), half_height)
    # The upper teeth show at the top of an open mouth.
    teeth = inner * _edge(-rows - 0.35 * half_height) * np.clip(4 * opening, 0, 1)
    light = face.skin + face.shade * columns / WIDTH
    light = light + outer * (face.lips - light)
    light = light + inner * (0.08 - light)
    light = light + 0.8 * teeth * (0.75 - light)
    flicker = 1 + 0.12 * _wander(count, 1, random)[:, None]
    # Now and then a lamp blinks for one to three frames.
    blinks = random.uniform(size=count) < 0.02
    blinks |= np.roll(blinks, 1) & (random.uniform(size=count) < 0.6)
    flicker = flicker * np.where(blinks, random.uniform(0.6, 1.3), 1.0)[:, None, None]
    noise = 0.012 * random.standard_normal((count, HEIGHT, WIDTH))
    return np.clip(np.rint(255 * (light * flicker + noise)), 0, 255).astype(np.uint8)


def _edge(distance: np.ndarray) -> np.ndarray:
    """Returns 1 well inside and 0 well outside of an edge, at a signed distance in pixels."""
    return np.clip(distance + 0.5, 0, 1)


def _inside(across: np.ndarray, down: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Returns how much of each pixel is within the unit circle of scaled coordinates."""
    radius = np.sqrt(np.square(across) + np.square(down))
    # Near the circle, the distance in pixels is about the difference of radii times the size.
    return _edge((1 - radius) * np.maximum(thickness, 1.0) * 2)


def _wander(count: int, tracks: int, random: np.random.Generator) -> np.ndarray:
    """Returns slow random movements of a standard deviation of about 1: float64 [count, tracks]."""
    window = np.hanning(27)[1:-1]  # a second
    window /= np.sqrt(np.square(window).sum())
    steps = random.standard_normal((tracks, count + len(window) - 1))
    return np.stack([np.convolve(track, window, "valid") for track in steps], -1)
