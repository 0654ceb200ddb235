"""An HTML report of tables, figures and media in one file, which opens without a network."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import numpy as np
import soundfile
from matplotlib.figure import Figure
from matplotlib.image import imsave

from jaxgan.reporting import figures
from jaxgan.reporting.tables import Table


@dataclass(frozen=True)
class Image:
    """A picture: the bytes of a PNG file, and the text that stands for it where it is not shown."""

    png: bytes
    alternative: str


@dataclass(frozen=True)
class Panel:
    """One version of an example: a picture, a clip (bytes of a WAV file) or both, and a note."""

    heading: str
    image: Image | None = None
    wav: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """The versions of one example side by side."""

    heading: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Section:
    """A heading over tables, images and galleries, in this order."""

    heading: str
    tables: Sequence[Table] = ()
    images: Sequence[Image] = ()
    galleries: Sequence[Gallery] = ()


def render(
    title: str, introduction: str, warnings: Sequence[str], sections: Sequence[Section]
) -> str:
    """Returns the report as HTML; all text in it is escaped.

    Args:
        title: the title of the page.
        introduction: a paragraph below the title.
        warnings: lines for a box at the top of the page, which is left out if there are none.
        sections: the rest of the page. Tables without rows are left out, and so are sections that
            then are empty.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["base64"] = _base64
    source = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    filled = [_without_empty_tables(section) for section in sections]
    return environment.from_string(source).render(
        title=title,
        introduction=introduction,
        warnings=warnings,
        sections=[part for part in filled if part.tables or part.images or part.galleries],
    )


def picture(pixels: np.ndarray, alternative: str) -> Image:
    """Returns pixels, uint8 [height, width, 3], as an image of the report."""
    stream = io.BytesIO()
    imsave(stream, pixels, format="png")
    return Image(stream.getvalue(), alternative)


def drawing(figure: Figure, alternative: str) -> Image:
    """Returns a matplotlib figure as an image of the report."""
    return Image(figures.png(figure), alternative)


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Returns a 16-bit WAV file.

    Args:
        samples: [n], int16, or float in -1..1.
        sample_rate: the sample rate in Hz.
    """
    stream = io.BytesIO()
    soundfile.write(stream, samples, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _without_empty_tables(section: Section) -> Section:
    tables = [table for table in section.tables if table.rows]
    return Section(section.heading, tables, section.images, section.galleries)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
