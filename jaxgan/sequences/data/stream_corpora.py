"""Long sequences to predict value by value: a text, or the lines of handwriting.

Every sequence is read from its start, and its first value is not predicted.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.text_files import read_text
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.handwriting import TEST, TRAIN, VALID, Line, read_strokes
from jaxgan.sequences.data.music import make_tunes
from jaxgan.sequences.data.pen import make_lines
from jaxgan.sequences.data.streams import Item, split
from jaxgan.sequences.data.vocabulary import Vocabulary

TEXTS, STROKES = ("text", "tunes"), ("strokes", "pen")
"""Values of `config.data.kind`: of each pair, the second is generated."""
FILE = "data.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Streams:
    """Sequences to learn from and to be measured with.

    Attributes:
        epochs: (number from 0) -> the sequences of an epoch, in their order.
        valid: sequences that measure the network during training.
        test: sequences that eval.py measures it with; of a text the same as `valid`.
        vocabulary: the characters of a text, or of what handwriting writes.
        unit: how many units of the data an offset of 1 is; 1 for a text.
        characters: U, those of the longest text that handwriting writes.
    """

    epochs: Callable[[int], Sequence[Item]]
    valid: Sequence[Item]
    test: Sequence[Item]
    vocabulary: Vocabulary
    unit: float = 1.0
    characters: int = 0

    @property
    def files(self) -> dict[str, bytes]:
        """For `Recipe.files`: the vocabulary, the unit, and a digest that identifies the data."""
        digest = hashlib.sha256()
        for item in (*self.epochs(0), *self.valid, *self.test):
            digest.update(item.values.tobytes() + item.text.tobytes())
        found = {"sha256": digest.hexdigest(), "unit": self.unit}
        return {
            vocabularies.FILE: self.vocabulary.to_bytes(),
            FILE: (json.dumps(found) + "\n").encode(),
        }


def read_unit(workdir: epath.PathLike) -> float:
    """Returns how many units of the data an offset of 1 is in a run.

    Raises:
        UserError: the run's file cannot be read.
    """
    path = epath.Path(workdir) / FILE
    try:
        return float(json.loads(path.read_text())["unit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or train again") from error


def open_streams(config: ConfigDict) -> Streams:
    """Returns the data of a config.

    Raises:
        UserError: the data cannot be used; the message says why.
    """
    data = config.data
    if data.kind in TEXTS:
        return from_text(*_open_text(data), config)
    if data.kind == "pen":
        made = make_lines(data.count, data.seed)
        lines = [Line(points, text) for points, text in made]
        return from_lines(lines, config, "config.data.kind=pen")
    if not data.root:
        raise UserError("config.data.root is not set: give an .npz file of strokes")
    lines = read_strokes(data.root, "config.data.root=")
    return from_lines(lines, config, f"config.data.root={data.root}")


def _open_text(data: ConfigDict) -> tuple[str, str]:
    """Returns a text and its name for messages."""
    if data.kind == "tunes":
        return "\n".join(make_tunes(data.count, data.seed)) + "\n", "config.data.kind=tunes"
    if not data.root:
        raise UserError("config.data.root is not set: give a text file")
    path = epath.Path(data.root).expanduser()
    return read_text(path, "config.data.root=", "a text file"), f"config.data.root={data.root}"


def from_text(text: str, name: str, config: ConfigDict) -> Streams:
    """Returns a text, whose last share is held out; every epoch starts at a random place.

    An epoch reads all of the text that is learned from, in a circle, and divides it into one
    sequence for each row of a batch. The vocabulary includes characters that are only held out.

    Args:
        text: the text.
        name: the name of the data, for messages.
        config: the config of the run.

    Raises:
        UserError: the text is too short, or all its characters are the same.
    """
    characters = sorted(set(text))
    if len(characters) < 2:
        found = f"only the character {characters[0]!r}" if characters else "nothing"
        raise UserError(f"{name} holds {found}: give a text of two different characters or more")
    places = {character: place for place, character in enumerate(characters)}
    tokens = np.array([places[character] for character in text], np.int32)
    held_out = round(config.data.held_out_share * len(tokens))
    fewest = 2 * config.batch_size
    if min(held_out, len(tokens) - held_out) < fewest:
        raise UserError(
            f"{name} has {len(tokens)} characters, of which {held_out} are held out: both parts "
            f"need {fewest}, two for each row of a batch; give a longer text or a smaller "
            "config.batch_size"
        )
    train = tokens[: len(tokens) - held_out]

    def epoch(number: int) -> Sequence[Item]:
        start = int(np.random.default_rng((config.seed, number)).integers(len(train)))
        return split(np.roll(train, -start), config.batch_size)

    # The last character that is learned from precedes the first that is predicted.
    held = split(tokens[len(tokens) - held_out - 1 :], config.batch_size)
    return Streams(epoch, held, held, Vocabulary(tuple(characters), "characters", 1))


def from_lines(lines: Sequence[Line], config: ConfigDict, name: str) -> Streams:
    """Returns lines of handwriting; every epoch has another order.

    Their offsets are divided by the root of the mean square deviation of both coordinates of those
    that are learned from. Offsets that are whole numbers get uniform noise of that width, once:
    without it the density at a grid of numbers has no bound. The first offset, which only says
    where a line begins, becomes zero.

    Args:
        lines: at least one. If any has no split, a random share `config.data.held_out_share` of all
            is for validation and as much for the test.
        config: the config of the run.
        name: the name of the data, for messages.

    Raises:
        UserError: a part of the data is empty, or all offsets are equal.
    """
    data, random = config.data, np.random.default_rng(config.data.seed)
    parts = [line.split for line in lines]
    if None in parts:
        each = max(round(data.held_out_share * len(lines)), 1)
        chosen = np.full(len(lines), TRAIN)
        order = random.permutation(len(lines))
        chosen[order[:each]], chosen[order[each : 2 * each]] = VALID, TEST
        parts = chosen.tolist()
    points = [_without_grid(line.points, random) for line in lines]
    missing = [
        word
        for part, word in ((TRAIN, "to learn from"), (VALID, "to validate"), (TEST, "to test"))
        if part not in parts
    ]
    if missing:
        raise UserError(f"{name} has no sequences {missing[0]}: give more sequences")
    learned = np.concatenate(
        [each[1:, :2] for each, part in zip(points, parts, strict=True) if part == TRAIN]
    )
    unit = float(np.sqrt(np.mean(np.var(learned, axis=0))))
    if not unit > 0:
        raise UserError(f"{name}: all its offsets are equal; give other sequences")
    vocabulary = Vocabulary(
        tuple(sorted({character for line in lines for character in line.text})),
        "characters",
        max(len(line.text) for line in lines) + 1,
    )
    numbers = {character: number for number, character in enumerate(vocabulary.tokens, 1)}
    texts = [np.array([numbers[each] for each in line.text], np.int32) for line in lines]
    items = [Item(to_values(each, unit), text) for each, text in zip(points, texts, strict=True)]
    train, valid, test = (
        [item for item, of_item in zip(items, parts, strict=True) if of_item == part]
        for part in (TRAIN, VALID, TEST)
    )

    def epoch(number: int) -> Sequence[Item]:
        order = np.random.default_rng((config.seed, number)).permutation(len(train))
        return [train[place] for place in order]

    return Streams(epoch, valid, test, vocabulary, unit, vocabulary.length - 1)


def to_values(points: np.ndarray, unit: float) -> np.ndarray:
    """Returns a line of handwriting as a network reads it, float32 [n, 3]: from a pen at rest.

    Args:
        points: [n, 3], in the units of the data.
        unit: how many units an offset of 1 is.
    """
    values = np.array(points, np.float32)
    values[:, :2] /= unit
    values[0] = 0
    return values


def _without_grid(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns points as float64, with noise if they are whole numbers."""
    found = points.astype(np.float64)
    if points.dtype.kind in "iu":
        found[:, :2] += random.uniform(-0.5, 0.5, (len(points), 2))
    return found
