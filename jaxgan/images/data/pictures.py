"""Decodes a picture of any format that Pillow reads into 8-bit grey or RGB.

The same rules apply everywhere. Of an animation, the first frame is used. The orientation that EXIF
states is applied. 16-bit grey is divided by 257, so that white stays white. Transparent pixels are
composed over white. CMYK, palettes and other colour models become RGB, and RGB becomes grey by the
luma of ITU-R BT.601. A picture that is to have a certain size is cropped to the square at its
centre, then resampled by Pillow's LANCZOS filter, which widens for reduction and so does not alias.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff"),
        *("pbm", "pgm", "ppm", "pnm", "tga", "jp2", "avif", "ico", "pcx", "sgi", "qoi", "dds"),
    )
)
"""File name suffixes that count as pictures when a folder is listed, in lower case."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's name for 8-bit pixels, by the number of channels."""
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")
"""Formats whose 32-bit pixels, as Pillow may return them, always come from 16 bits."""
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The tag of the orientation in EXIF, and its values that exchange width and height."""
LONGEST_REASON = 100

Result = TypeVar("Result")


class BadImageError(Exception):
    """Raised for a file without usable pixels; the message says why but does not name the file."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Makes Pillow refuse decompression bombs in the block, and not warn of smaller mistakes.

    Warning filters belong to the whole process, so threads must start and end within the block.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read(source: str | os.PathLike[str] | BinaryIO, channels: int, size: int = 0) -> np.ndarray:
    """Decodes one picture; call it in a `limited` block.

    Args:
        source: a file.
        channels: C, 1 for grey or 3 for RGB.
        size: pixels of a side; 0 keeps the picture as large as it is, without cropping.

    Returns:
        uint8 [H, W, C].

    Raises:
        BadImageError: the file cannot be decoded, or has more pixels than Pillow's limit.
    """
    return _decoded(source, lambda image, kind: _pixels(image, kind, channels, size))


def read_side_by_side(
    source: str | os.PathLike[str] | BinaryIO, channels: int, size: int
) -> np.ndarray:
    """Decodes one picture that holds two of equal size, the left and the right half.

    Args:
        source: a file.
        channels: C, 1 for grey or 3 for RGB.
        size: pixels of a side of each half.

    Returns:
        uint8 [size, size, 2 C], the channels of the left half and then those of the right one.

    Raises:
        BadImageError: as for `read`, or the width is odd.
    """

    def halves(image: Image.Image, kind: str | None) -> np.ndarray:
        if image.width % 2:
            raise BadImageError(
                f"has an odd width of {image.width} pixels, so it is not two pictures side by side"
            )
        half = image.width // 2
        parts = (image.crop((left, 0, left + half, image.height)) for left in (0, half))
        return np.concatenate([_pixels(part, kind, channels, size) for part in parts], axis=-1)

    return _decoded(source, halves)


def read_with_format(path: os.PathLike[str], channels: int) -> tuple[np.ndarray, str]:
    """Decodes one picture as `read` does, and returns Pillow's name of its format, too.

    Returns:
        uint8 [H, W, C], and a name such as "PNG".

    Raises:
        BadImageError: as for `read`.
    """
    return _decoded(
        path, lambda image, kind: (_pixels(image, kind, channels, 0), kind or "without a name")
    )


def dimensions(path: os.PathLike[str]) -> tuple[int, int]:
    """Returns the width and the height of a picture, upright, without decoding its pixels.

    Raises:
        BadImageError: the file is no picture.
    """
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            sideways = opened.getexif().get(ORIENTATION) in SIDEWAYS
            return (height, width) if sideways else (width, height)
    except Exception as error:  # see `_decoded`
        raise BadImageError(_reason(error)) from error


def _decoded(
    source: str | os.PathLike[str] | BinaryIO,
    convert: Callable[[Image.Image, str | None], Result],
) -> Result:
    """Returns what `convert` makes of the upright picture and the name of its format."""
    try:
        with Image.open(source) as opened:
            return convert(ImageOps.exif_transpose(opened), opened.format)
    except BadImageError:
        raise
    # Pillow's decoders raise whatever the content makes them stumble over: struct.error,
    # SyntaxError, IndexError and others. No content may stop a run.
    except Exception as error:
        raise BadImageError(_reason(error)) from error


def _pixels(image: Image.Image, kind: str | None, channels: int, size: int) -> np.ndarray:
    if size:
        image = _square(image)
    image = _convert(image, MODES[channels], kind)
    if size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _convert(image: Image.Image, mode: str, kind: str | None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in SIXTEEN_BIT_FORMATS):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise BadImageError("has 32-bit pixels, for which white is not defined")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture that Pillow can read"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"has more than Pillow's limit of {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    lines = str(error).splitlines() or [type(error).__name__]
    return f"cannot be decoded ({lines[0][:LONGEST_REASON]})"
