"""BLEU of single sequences against many references (Papineni et al. 2002), and Self-BLEU.

All n-gram orders have the same weight, and an order without a match counts as 0.1 matches (Chen and
Cherry 2014, method 1). Self-BLEU (Zhu et al. 2018) is the BLEU of a sequence against all others of
its set; it is high if the set repeats itself.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

EPSILON = 0.1
Tokens = Sequence[Hashable]
Gram = tuple[Hashable, ...]


class References:
    """Computes BLEU against a set of references, whose n-grams are counted once.

    Args:
        sequences: at least one.
        order: the length of the longest n-grams.
    """

    def __init__(self, sequences: Sequence[Tokens], order: int) -> None:
        self.order = order
        self._lengths = Counter(len(sequence) for sequence in sequences)
        self._highest = [_HighestCounts() for _ in range(order)]
        for number, sequence in enumerate(sequences):
            for highest, counts in zip(self._highest, _count(sequence, order), strict=True):
                highest.add(number, counts)

    def bleu(self, sequence: Tokens, without: int | None = None) -> list[float]:
        """Returns BLEU-1, BLEU-2, ... up to `order` of a sequence, each in 0..1.

        Args:
            sequence: the candidate.
            without: the number of a reference to leave out.
        """
        logs, scores = [], []
        for size, (highest, counts) in enumerate(
            zip(self._highest, _count(sequence, self.order), strict=True), 1
        ):
            matches = sum(min(count, highest.of(gram, without)) for gram, count in counts.items())
            if size == 1 and not matches:
                return [0.0] * self.order
            logs.append(math.log((matches or EPSILON) / max(len(sequence) - size + 1, 1)))
            scores.append(self._brevity(len(sequence), without) * math.exp(sum(logs) / size))
        return scores

    def _brevity(self, length: int, without: int | None) -> float:
        lengths = self._lengths
        if without is not None:
            # The reference to leave out is the candidate itself, so it has the same length.
            lengths = lengths - Counter([length])
        closest = min(lengths, key=lambda other: (abs(other - length), other))
        return 1.0 if length > closest else math.exp(1 - closest / max(length, 1))


class _HighestCounts:
    """Holds the highest count of every n-gram in one reference, which one it is, and the second."""

    def __init__(self) -> None:
        self._found: dict[Gram, tuple[int, int, int]] = {}

    def add(self, number: int, counts: Counter[Gram]) -> None:
        for gram, count in counts.items():
            most, owner, second = self._found.get(gram, (0, -1, 0))
            if count > most:
                most, owner, second = count, number, most
            else:
                second = max(second, count)
            self._found[gram] = most, owner, second

    def of(self, gram: Gram, without: int | None) -> int:
        most, owner, second = self._found.get(gram, (0, -1, 0))
        return second if owner == without else most


def _count(sequence: Tokens, order: int) -> list[Counter[Gram]]:
    return [
        Counter(zip(*(sequence[start:] for start in range(size)), strict=False))
        for size in range(1, order + 1)
    ]


def mean_bleu(references: References, sequences: Sequence[Tokens]) -> list[float]:
    """Returns the means over sequences of BLEU-1, BLEU-2, ..."""
    return _mean([references.bleu(sequence) for sequence in sequences])


def self_bleu(sequences: Sequence[Tokens], order: int) -> list[float]:
    """Returns the means over at least two sequences of Self-BLEU-1, Self-BLEU-2, ..."""
    others = References(sequences, order)
    return _mean([others.bleu(sequence, number) for number, sequence in enumerate(sequences)])


def _mean(scores: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*scores, strict=True)]
