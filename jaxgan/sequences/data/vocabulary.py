"""The tokens of a text by number, and how lines become sequences and sequences lines again."""

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
"""Tokens of a molecule in SMILES: what brackets hold, atoms of two letters, ring numbers of
two digits, and everything else by itself."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by number; number 0 is the end of a sequence, and has no text.

    Attributes:
        tokens: those from 1 on.
        unit: "characters"; "words", which spaces stand between; or "smiles", see `ATOMS`.
        length: T, tokens of a sequence, one of which is the end of the longest lines.
    """

    tokens: tuple[str, ...]
    unit: str
    length: int

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.tokens) + 1

    def encode(self, lines: Sequence[str]) -> np.ndarray:
        """int32 [lines, T], zeros behind each line; what is not known becomes `UNKNOWN`.

        Args:
            lines: each with fewer than T tokens.

        Raises:
            KeyError: a token is not known, and this vocabulary has no `UNKNOWN`.
        """
        numbers = {token: number for number, token in enumerate(self.tokens, 1)}
        encoded = np.full((len(lines), self.length), START, np.int32)
        for row, line in enumerate(lines):
            tokens = split(line, self.unit)
            found = [numbers[token if token in numbers else UNKNOWN] for token in tokens]
            encoded[row, : len(found)] = found
        return encoded

    def decode(self, sequences: np.ndarray) -> list[str]:
        """The text of sequences int32 [B, T], each up to its end."""
        joint = " " if self.unit == "words" else ""
        return [
            joint.join(self.tokens[number - 1] for number in until_end(row)) for row in sequences
        ]

    def to_bytes(self) -> bytes:
        """As a JSON file."""
        plain = {"unit": self.unit, "length": self.length, "tokens": list(self.tokens)}
        return (json.dumps(plain, ensure_ascii=False, indent=1) + "\n").encode()


def read(workdir: epath.PathLike) -> Vocabulary:
    """The vocabulary of a run.

    Raises:
        UserError: there is none, or it cannot be read.
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
    """The tokens of some lines, the most frequent first, and behind them those held out alone.

    Args:
        lines: of text.
        unit: one of `UNITS`.
        length: T.
        most: numbers to use; where there are more tokens, the rarer ones become `UNKNOWN`. 0: all.
        held_out: lines that have numbers for all of their tokens, too, but no say in the order.
    """
    counts = Counter(token for line in lines for token in split(line, unit))
    counts.update({token: 0 for line in held_out for token in split(line, unit)})
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    if most and len(ordered) + 1 > most:
        kept = [token for token in ordered if token != UNKNOWN][: most - 2]
        ordered = [UNKNOWN, *kept]
    return Vocabulary(tuple(ordered), unit, length)


def split(line: str, unit: str) -> list[str]:
    """The tokens of a line."""
    if unit == "smiles":
        return ATOMS.findall(line)
    return line.split() if unit == "words" else list(line)


def until_end(sequence: np.ndarray) -> list[int]:
    """The numbers of a sequence [T] before its end."""
    numbers = [int(number) for number in sequence]
    return numbers[: numbers.index(START)] if START in numbers else numbers
