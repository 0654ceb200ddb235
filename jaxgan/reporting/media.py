"""Media for TensorBoard: each function returns a function from a tag to a `Summary` proto.

An evaluation names its media, and the log writes `item(name)` without knowing what an item is.
"""

import textwrap
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxgan.core.events import Summary, summary

Media = Callable[[str], Summary]
"""Makes the summary of one item for the tag it is given."""


def audio(samples: np.ndarray, sample_rate: int) -> Media:
    """Returns a clip.

    Args:
        samples: float [n]; values outside -1..1 are clipped.
        sample_rate: the sample rate in Hz.
    """
    return lambda tag: summary.audio(tag, np.clip(samples, -1.0, 1.0), sample_rate=sample_rate)


def image(pixels: np.ndarray) -> Media:
    """Returns an image, uint8 [height, width, 3]."""
    return lambda tag: summary.image(tag, pixels, dataformats="HWC")


def text(string: str) -> Media:
    """Returns a text, indented so that TensorBoard shows it verbatim rather than as Markdown."""
    return lambda tag: summary.text(tag, textwrap.indent(string, "    "))


def figure(drawing: Figure) -> Media:
    """Returns a matplotlib figure as an image at the figure's own size and resolution.

    Make it with `matplotlib.figure.Figure`: pyplot keeps every figure that it opens in memory.
    """

    def draw(tag: str) -> Summary:
        canvas = FigureCanvasAgg(drawing)
        canvas.draw()
        return image(np.asarray(canvas.buffer_rgba())[..., :3])(tag)

    return draw
