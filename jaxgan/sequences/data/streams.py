"""Cuts sequences of any length into chunks of a few steps that follow each other in rows.

A network reads one chunk per update and carries its state to the next chunk of the same row, so a
row may hold a sequence of any length, or several after each other.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Item(NamedTuple):
    """One sequence.

    Attributes:
        values: [n, ...]; every value but the first is predicted from those before it.
        text: int32 [u], the characters that it writes, from 1; empty if they are not known.
    """

    values: np.ndarray
    text: np.ndarray = np.zeros(0, np.int32)


class Chunk(NamedTuple):
    """T steps of every row.

    Attributes:
        values: [B, T + 1, ...]; the network reads all but the last and predicts all but the first.
        valid: bool [B, T], which predictions count.
        starts: bool [B], whether the row starts a sequence with this chunk.
        text: int32 [B, U], what the row's sequence writes, 0 in the padding.
    """

    values: np.ndarray
    valid: np.ndarray
    starts: np.ndarray
    text: np.ndarray


def plan(lengths: Sequence[int], rows: int, steps: int) -> np.ndarray:
    """Returns which part of which sequence every chunk of every row holds.

    Each sequence, in their order, goes to the row that ends first. Sequences with fewer than two
    values are left out.

    Args:
        lengths: n of every sequence.
        rows: B.
        steps: T.

    Returns:
        int [chunks, B, 2]: the number of the sequence, and the place of its first value; -1 for
        both if the row has ended.
    """
    parts: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
    ends = [(0, row) for row in range(rows)]
    for number, length in enumerate(lengths):
        end, row = heapq.heappop(ends)
        places = range(0, length - 1, steps)
        parts[row] += [(number, place) for place in places]
        heapq.heappush(ends, (end + len(places), row))
    found = np.full((max(map(len, parts)), rows, 2), -1)
    for row, of_row in enumerate(parts):
        if of_row:
            found[: len(of_row), row] = of_row
    return found


def cut(items: Sequence[Item], parts: np.ndarray, steps: int, characters: int = 0) -> Chunk:
    """Returns one chunk.

    Args:
        items: the sequences.
        parts: int [B, 2], as `plan` returns them for each chunk.
        steps: T.
        characters: U, at least the length of every text; 0 leaves the texts out.
    """
    rows, example = len(parts), items[0].values
    values = np.zeros((rows, steps + 1, *example.shape[1:]), example.dtype)
    valid = np.zeros((rows, steps), bool)
    text = np.zeros((rows, characters), np.int32)
    for row, (number, place) in enumerate(parts):
        if number >= 0:
            part = items[number].values[place : place + steps + 1]
            values[row, : len(part)] = part
            valid[row, : len(part) - 1] = True
            if characters:
                text[row, : len(items[number].text)] = items[number].text
    return Chunk(values, valid, parts[:, 1] <= 0, text)


def cut_all(items: Sequence[Item], rows: int, steps: int, characters: int = 0) -> list[Chunk]:
    """Returns the chunks of some sequences, the longest first so that all rows end together."""
    ordered = sorted(items, key=lambda item: -len(item.values))
    parts = plan([len(item.values) for item in ordered], rows, steps)
    return [cut(ordered, part, steps, characters) for part in parts]


def split(tokens: np.ndarray, rows: int) -> list[Item]:
    """Returns int [N] as one sequence for each row; each repeats the last value of the one before.

    Args:
        tokens: at least rows + 1.
        rows: how many sequences.
    """
    size = math.ceil((len(tokens) - 1) / rows)
    starts = range(0, len(tokens) - 1, size)
    return [Item(tokens[start : start + size + 1]) for start in starts]


class Reader:
    """Reads epochs after each other, chunk by chunk; what a number gives depends on it only.

    Args:
        epochs: (number from 0) -> the sequences of an epoch, in order.
        rows: B.
        steps: T.
        characters: U.
    """

    def __init__(
        self, epochs: Callable[[int], Sequence[Item]], rows: int, steps: int, characters: int = 0
    ) -> None:
        self._epochs = epochs
        self._sizes = rows, steps, characters
        self._ends = [0]  # how many chunks there are up to the start of each epoch
        self._open(0)

    def read(self, number: int) -> Chunk:
        """Returns chunk `number`, from 0."""
        while self._ends[-1] <= number:
            self._open(len(self._ends) - 1)
        epoch = int(np.searchsorted(self._ends, number, "right")) - 1
        if epoch != self._epoch:
            self._open(epoch)
        _, steps, characters = self._sizes
        return cut(self._items, self._parts[number - self._ends[epoch]], steps, characters)

    def _open(self, epoch: int) -> None:
        """Plans an epoch; those before it have been planned."""
        rows, steps, _ = self._sizes
        self._epoch, self._items = epoch, self._epochs(epoch)
        self._parts = plan([len(item.values) for item in self._items], rows, steps)
        if epoch + 1 == len(self._ends):
            self._ends.append(self._ends[-1] + len(self._parts))
