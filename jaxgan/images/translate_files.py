"""Translates files of pictures, which keep their names, sizes and formats.

A picture of any size is resized to what the networks were trained at, and its translation back.
Pictures are read and written by threads while the devices translate others, so memory does not grow
with their number.
"""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from PIL import Image

from jaxgan.core import files
from jaxgan.core.data_files import Problem, count_files, describe, find, printable
from jaxgan.core.errors import UserError
from jaxgan.images.data import pictures
from jaxgan.images.evaluation.translation import BATCH

OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}}
"""How lossy formats are saved; the quality is Pillow's highest recommended one."""
SAME_PIXELS = {"MPO": "JPEG"}
"""Formats that can hold several pictures, of which one is written."""

TranslateArrays = Callable[[np.ndarray, int], Callable[[], np.ndarray]]
"""(uint8 [n, S, S, C], seed) -> a function that waits for the n translations."""


class Source(NamedTuple):
    """A picture that was read.

    Attributes:
        name: its path relative to the input.
        pixels: uint8 [S, S, C].
        size: its width and height.
        kind: Pillow's name of its format.
    """

    name: str
    pixels: np.ndarray
    size: tuple[int, int]
    kind: str


class Batch(NamedTuple):
    """Pictures whose translations the devices are computing.

    Attributes:
        sources: the pictures.
        made: waits for the translations, uint8 [n or more, S, S, C].
    """

    sources: Sequence[Source]
    made: Callable[[], np.ndarray]


def translate_files(
    translate: TranslateArrays,
    shape: tuple[int, ...],
    source: str,
    output: str,
    seed: int,
    print_line: Callable[[str], None] = print,
) -> None:
    """Translates a picture, or every picture under a folder, into an output folder.

    A file that cannot be read, or whose format Pillow cannot write, is left out and listed in the
    report.

    Args:
        translate: translates arrays.
        shape: (S, S, C) of the images that it takes.
        source: a file, or a folder whose sub-folders are reproduced in the output.
        output: a folder, created if necessary; existing files in it may be replaced.
        seed: the seed of the noise, for generators that use noise.
        print_line: called with each line of the report.

    Raises:
        UserError: the source does not exist, an output would replace an input, no picture can be
            translated, or the output cannot be written.
    """
    root, names = _listed(Path(source).expanduser())
    place = Path(output).expanduser()
    for name in names:
        if (place / name).resolve() == (root / name).resolve():
            raise UserError(f"--output={output}: would replace {root / name}; give another folder")
    problems: list[Problem] = []
    with pictures.limited(), ThreadPoolExecutor(os.cpu_count()) as threads, files.writable(place):
        waiting: Batch | None = None
        for number, start in enumerate(range(0, len(names), BATCH)):
            batch = names[start : start + BATCH]
            read = list(threads.map(lambda name: _read(root / name, name, shape), batch))
            problems += [each for each in read if isinstance(each, Problem)]
            usable = [each for each in read if isinstance(each, Source)]
            if not usable:
                continue
            filled = [*usable, *[usable[-1]] * (BATCH - len(usable))]  # one compiled program
            made = translate(np.stack([each.pixels for each in filled]), seed + number)
            if waiting:
                problems += _write(threads, root, place, waiting)
            waiting = Batch(usable, made)
        if waiting:
            problems += _write(threads, root, place, waiting)
    for line in describe(problems):
        print_line(line)
    if len(problems) == len(names):
        raise UserError(f"--input={source}: none of its pictures can be translated")
    print_line(f"wrote {count_files(len(names) - len(problems))} to {printable(str(place))}")


def _listed(source: Path) -> tuple[Path, Sequence[str]]:
    """Returns a folder and the pictures to translate, relative to it."""
    if source.is_file():
        return source.parent, [source.name]
    if not source.is_dir():
        raise UserError(f"--input={source}: there is no such file or folder")
    names = find(source, pictures.SUFFIXES)
    if not names:
        raise UserError(f"--input={source}: holds no pictures, such as .png or .jpg files")
    return source, names


def _read(path: Path, name: str, shape: tuple[int, ...]) -> Source | Problem:
    try:
        whole, kind = pictures.read_with_format(path, shape[-1])
    except pictures.BadImageError as error:
        return Problem(str(path), str(error))
    kind = SAME_PIXELS.get(kind, kind)
    if kind not in Image.SAVE:
        return Problem(str(path), f"is in the format {kind}, which Pillow cannot write")
    height, width = whole.shape[:2]
    return Source(name, _resized(whole, (shape[1], shape[0])), (width, height), kind)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns an image of another width and height, uint8 [height, width, C]."""
    channels = values.shape[-1]
    image = Image.fromarray(values[..., 0] if channels == 1 else values)
    resized = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(size[1], size[0], channels)


def _write(threads: ThreadPoolExecutor, root: Path, place: Path, batch: Batch) -> list[Problem]:
    """Writes the translations of a batch, and returns the pictures that cannot be written."""

    def write(source: Source, pixels: np.ndarray) -> Problem | None:
        pixels = _resized(pixels, source.size)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        encoded = io.BytesIO()
        try:
            image.save(encoded, source.kind, **OPTIONS.get(source.kind, {}))
        except Exception as error:  # whatever Pillow's encoders raise, as its decoders do
            return Problem(str(root / source.name), f"cannot be written as {source.kind} ({error})")
        path = epath.Path(place / source.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, encoded.getvalue())
        return None

    # There may be more translations than sources.
    written = threads.map(write, batch.sources, batch.made())
    return [each for each in written if each]
