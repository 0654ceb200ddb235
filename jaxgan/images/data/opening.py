"""Opens and checks the data that a config asks for."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxgan.core import data_files
from jaxgan.core.data_files import Problem, printable, refuse
from jaxgan.core.errors import UserError
from jaxgan.images.data import cifar, folder, glyphs, idx, overlays, toys
from jaxgan.images.data.captions import with_captions
from jaxgan.images.data.dataset import Images, Opened
from jaxgan.images.data.labelled import keep_labels


class Checked(NamedTuple):
    """The checked data of a run.

    Attributes:
        train: the training set, of which `config.data.labelled` keep their label if that is not 0.
        valid: the validation set.
        problems: the files that cannot be used.
    """

    train: Images
    valid: Images
    problems: tuple[Problem, ...]


def open_glyphs(data: ConfigDict) -> Opened:
    """Returns drawn digits, which never have problems."""
    return Opened(
        glyphs.open_set("train", data.train, data.seed),
        glyphs.open_set("valid", data.valid, data.seed),
    )


def open_overlays(data: ConfigDict) -> Opened:
    """Returns drawn digits on coloured backgrounds, which never have problems."""
    return Opened(
        overlays.make("train", data.train, data.seed),
        overlays.make("valid", data.valid, data.seed),
    )


IMAGES: Mapping[str, Callable[[ConfigDict], Opened]] = {
    "glyphs": open_glyphs,
    "overlays": open_overlays,
    "mnist": idx.open_idx,
    "fashion_mnist": idx.open_idx,
    "cifar10": cifar.open_cifar10,
    "folder": folder.open_folder,
}
"""For each `config.data.kind` of images, a function of `config.data`."""
POINTS: Mapping[str, Callable[[ConfigDict], Opened]] = {
    "ring": toys.open_ring,
    "grid25": toys.open_grid25,
    "points": toys.open_points,
}
"""For each `config.data.kind` of points in the plane, a function of `config.data`."""
KINDS = {**IMAGES, **POINTS}


def open_data(config: ConfigDict, print_report: Callable[[str], None] = print) -> Checked:
    """Returns all data of a run, read and checked.

    Args:
        config: a config whose `data` section has the keys of `settings.data_settings`.
        print_report: called once with the text of the report.

    Raises:
        UserError: a file is missing or damaged, a set has no usable image, a setting is invalid, a
            batch is larger than the training set, or, with `config.data.strict`, a file cannot be
            used.
    """
    data = config.data
    if data.kind not in KINDS:
        raise UserError(f"config.data.kind={data.kind!r}: choose one of {', '.join(KINDS)}")
    train, valid, problems, notes = KINDS[data.kind](data)
    if data.labels == "captions":
        train, valid = with_captions(train, valid)
    if data.labelled:
        train = keep_labels(train, data.labelled, data.seed)
    print_report(report(train, valid, problems, notes))
    if data.strict:
        refuse(problems)
    if config.batch_size > len(train):
        raise UserError(
            f"config.batch_size={config.batch_size}: the training set has only {len(train)} "
            f"{_unit(train)}; choose a smaller batch or give more data"
        )
    return Checked(train, valid, problems)


def report(train: Images, valid: Images, problems: Sequence[Problem], notes: Sequence[str]) -> str:
    """Returns one line for each set and each note, and lines for the files that cannot be used."""
    lines = [f"train: {describe(train)}", f"valid: {describe(valid)}", *notes]
    # File names may hold bytes that are no UTF-8, which cannot be printed.
    return printable("\n".join([*lines, *data_files.describe(problems)]))


def describe(images: Images) -> str:
    """Returns in one line how many images there are, their size, and what is known of classes."""
    size = "" if images.shape == (2,) else f" of {'x'.join(map(str, images.shape))}"
    known = int((images.labels >= 0).sum())
    classes = f"{len(images.classes)} class{'es' * (len(images.classes) != 1)}"
    if known < len(images):
        classes = f"{known} labelled, {classes}" if images.classes else "no classes"
    return f"{len(images)} {_unit(images)}{size}, {classes}"


def _unit(images: Images) -> str:
    name = "point" if images.shape == (2,) else "image"
    return name if len(images) == 1 else f"{name}s"
