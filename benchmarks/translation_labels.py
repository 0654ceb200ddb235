"""Do translated images have the label that they should have?

python benchmarks/translation_labels.py RUN [RUN ...] [--json=FILE]

A run is the folder of a run on data with labels. With pairs that are made of single images
(`data.pairs=edges` or `low_resolution`), a translation should keep the label of its source. With
images of two classes (`data.pairs=classes`), it should have the class of the other domain.

The label of an image is that of the most similar of 2,000 labelled training images of its domain;
images are compared by the mean absolute difference of the smallest channel of each pixel, which is
the digit on coloured grounds. `real` is the share of real held-out images of the target domain that
get their own label, the most that can be expected; `before` is the share of images that would have
the expected label without a translation.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy.spatial.distance import cdist

import jaxgan
from jaxgan.core import config as configs
from jaxgan.images.data.built_in_pairs import open_made
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.opening import KINDS
from jaxgan.images.translation_commands import ArrayTranslator

REFERENCES, JUDGED = 2000, 200
"""How many labelled images judge, and how many translations of a direction are judged at most."""


class Judged(NamedTuple):
    """The shares of images with the expected label."""

    run: str
    direction: str
    translated: float
    real: float
    before: float


def labels_of(images: np.ndarray, references: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the label of the most similar reference, int [n], for images uint8 [n, S, S, C]."""
    rows = [each.min(axis=-1).reshape(len(each), -1) for each in (images, references)]
    nearest: np.ndarray = cdist(*rows, "cityblock").argmin(axis=1)
    return labels[nearest]


def judge(run: Path, checkpoint: str) -> list[Judged]:
    """Returns the shares for each direction of a run."""
    config = configs.read(run)
    train, valid, _, _ = KINDS[config.data.kind](config.data)
    train = train.select(np.arange(min(len(train), REFERENCES)))
    translator = jaxgan.load(run, checkpoint)
    return [
        _judge(run.name, translator, direction, config.data, train, valid)
        for direction in translator.directions
    ]


def _judge(
    name: str,
    translator: ArrayTranslator,
    direction: str,
    data: ConfigDict,
    train: Images,
    valid: Images,
) -> Judged:
    def share(images: np.ndarray, references: np.ndarray, expected: np.ndarray) -> float:
        return float(np.mean(labels_of(images, references, train.labels) == expected))

    if data.pairs == "classes":
        of_class = {
            domain: valid.values[valid.labels == valid.classes.index(label)][:JUDGED]
            for domain, label in zip("ab", data.classes, strict=True)
        }
        source, target = of_class[direction[0]], of_class[direction[-1]]
        wanted = train.classes.index(data.classes["ab".index(direction[-1])])
        expected, own = np.full(len(source), wanted), np.full(len(target), wanted)
        references = train.values
    else:
        pairs = open_made(data, True)
        sides = {"a": (pairs.train.a, pairs.valid.a), "b": (pairs.train.b, pairs.valid.b)}
        source, target = (sides[letter][1][:JUDGED] for letter in (direction[0], direction[-1]))
        expected = own = valid.labels[: len(source)]
        references = sides[direction[-1]][0][: len(train)]
    made = translator(source, direction)
    return Judged(
        name,
        direction,
        share(made, references, expected),
        share(target, references, own),
        share(source, references, expected),
    )


def main(arguments: list[str] | None = None) -> None:
    """Prints one line for each direction of each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--checkpoint", default="best")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args(arguments)
    found = [each for run in flags.runs for each in judge(run, flags.checkpoint)]
    print("| run | direction | translated | real | before |\n|---|---|---|---|---|")
    for each in found:
        shares = " | ".join(f"{share:.2f}" for share in each[2:])
        print(f"| {each.run} | {each.direction} | {shares} |")
    if flags.json:
        flags.json.write_text(json.dumps([each._asdict() for each in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
