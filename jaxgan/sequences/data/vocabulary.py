"""The numbered tokens of a text, which encode lines as sequences and decode them."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from etils import epath

from jaxgan.core.errors import UserError
from jaxgan.sequences.networks.language_model import START

FILE = "vocabulary.json"
UNKNOWN = "\ufffd"
UNITS = ("characters", "words", "smiles")
ATOMS = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.")
"""Tokens of a molecule in SMILES: a bracket atom, a two-letter atom, a ring number of two digits,
or any other single character."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by number; number 0 ends a sequence and has no text.

    Attributes:
        tokens: those from number 1 on.
        unit: "characters"; "words", separated by spaces; or "smiles", see `ATOMS`.
        length: T, tokens of a sequence, including the one that ends it.
    """

    tokens: tuple[str, ...]
    unit: str
    length: int

    @property
    def size(self) -> int:
        """The number of tokens, including the one that ends a sequence."""
        return len(self.tokens) + 1

    def encode(self, lines: Sequence[str]) -> np.ndarray:
        """Returns int32 [lines, T], padded with zeros; unknown tokens become `UNKNOWN`.

        Args:
            lines: each with fewer than T tokens.

        Raises:
            KeyError: a token is unknown, and this vocabulary has no `UNKNOWN`.
        """
        numbers = {token: number for number, token in enumerate(self.tokens, 1)}
        encoded = np.full((len(lines), self.length), START, np.int32)
        for row, line in enumerate(lines):
            tokens = split(line, self.unit)
            found = [numbers[token if token in numbers else UNKNOWN] for token in tokens]
            encoded[row, : len(found)] = found
        return encoded

    def decode(self, sequences: np.ndarray) -> list[str]:
        """Returns the text of sequences int32 [B, T], each up to its end."""
        separator = " " if self.unit == "words" else ""
        words = ([self.tokens[number - 1] for number in until_end(row)] for row in sequences)
        return [separator.join(line) for line in words]

    def to_bytes(self) -> bytes:
        """Returns the contents of a JSON file."""
        plain = {"unit": self.unit, "length": self.length, "tokens": list(self.tokens)}
        return (json.dumps(plain, ensure_ascii=False, indent=1) + "\n").encode()


def read(workdir: epath.PathLike) -> Vocabulary:
    """Returns the vocabulary of a run.

    Raises:
        UserError: the run has none, or it cannot be read.
    """
    path = epath.Path(workdir) / FILE
    try:
        plain = json.loads(path.read_text())
        return Vocabulary(tuple(plain["tokens"]), plain["unit"], int(plain["length"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or train again") from error


def build(
    lines: Iterable[str], unit: str, length: int, most: int, held_out: Iterable[str] = ()
) -> Vocabulary:
    """Returns the vocabulary of lines: most frequent tokens first, those only held out last.

    Args:
        lines: lines of text.
        unit: one of `UNITS`.
        length: T.
        most: the largest size; if there are more tokens, rarer ones become `UNKNOWN`. 0: no limit.
        held_out: lines whose tokens get numbers too, but do not count for the frequency.
    """
    counts = Counter(token for line in lines for token in split(line, unit))
    counts.update({token: 0 for line in held_out for token in split(line, unit)})
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    if most and len(ordered) + 1 > most:
        kept = [token for token in ordered if token != UNKNOWN][: most - 2]
        ordered = [UNKNOWN, *kept]
    return Vocabulary(tuple(ordered), unit, length)


def split(line: str, unit: str) -> list[str]:
    """Returns the tokens of a line."""
    if unit == "smiles":
        return ATOMS.findall(line)
    return line.split() if unit == "words" else list(line)


def until_end(sequence: np.ndarray) -> list[int]:
    """Returns the numbers of a sequence [T] before its end."""
    numbers = [int(number) for number in sequence]
    return numbers[: numbers.index(START)] if START in numbers else numbers
