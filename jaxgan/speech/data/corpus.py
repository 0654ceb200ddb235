"""What a corpus is to training: utterances in pairs, drawn by (seed, round), and their buckets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxgan.speech.data.checks import HOP
from jaxgan.speech.data.waves import Waves

Conditions = Mapping[str, tuple[str, ...]]
NO_BUCKETS = np.zeros(0, np.int32)
"""Of a corpus whose bucket lengths have not been chosen."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one round trains on.

    Attributes:
        index: int32 [n], each utterance's number in its corpus.
        gain: float32 [n], what the clean side was multiplied by to fit into full scale.
        clean: n int16 arrays.
        noisy: n int16 arrays of the same lengths.
    """

    index: np.ndarray
    gain: np.ndarray
    clean: Sequence[np.ndarray]
    noisy: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class PairCorpus:
    """Fixed pairs of a clean and a noisy utterance.

    Attributes:
        names: one name a pair; file names without suffix, "/" between folders.
        clean_waves: the clean sides.
        noisy_waves: the noisy sides, of the same lengths.
        bucket_lengths: int32 [buckets], rising; the lengths batches have.
        conditions: what is known of each pair beside its samples, one word a pair: by "snr" the
            signal-to-noise ratio in dB, by "noise" its kind, or whatever a file says.
    """

    names: tuple[str, ...]
    clean_waves: Waves
    noisy_waves: Waves
    bucket_lengths: np.ndarray = field(default_factory=NO_BUCKETS.copy)
    conditions: Conditions = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.clean_waves)

    @property
    def lengths(self) -> np.ndarray:
        """int32 [n], samples of each utterance."""
        return self.clean_waves.lengths

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """int16 [n]: the clean side of a pair, times a gain."""
        return scaled(self.clean_waves[index], gain)

    def noisy(self, index: int) -> np.ndarray:
        """int16 [n]: the noisy side of a pair."""
        return self.noisy_waves[index]

    def select(self, numbers: np.ndarray) -> "PairCorpus":
        """The pairs of these numbers, in this order, as a corpus of their own."""
        return PairCorpus(
            tuple(self.names[number] for number in numbers),
            self.clean_waves.select(numbers),
            self.noisy_waves.select(numbers),
            self.bucket_lengths,
            {
                name: tuple(words[number] for number in numbers)
                for name, words in self.conditions.items()
            },
        )

    def take(self, order: np.ndarray) -> Drawn:
        """The pairs of these numbers, in this order."""
        return Drawn(
            index=order.astype(np.int32),
            gain=np.ones(len(order), np.float32),
            clean=[self.clean_waves[index] for index in order],
            noisy=[self.noisy_waves[index] for index in order],
        )

    def order(self, seed: int, round_number: int, count: int) -> np.ndarray:
        """int64 [count]: the numbers of the pairs that `draw` gives."""
        return passes(len(self), count, generator(seed, round_number))

    def draw(self, seed: int, round_number: int, count: int) -> Drawn:
        """`count` pairs; a function of its arguments alone.

        Every pair is used once before any is used again.
        """
        return self.take(self.order(seed, round_number, count))


def spread(size: int, count: int) -> np.ndarray:
    """int64 [min(size, count)]: numbers below `size`, rising, as far apart as can be."""
    return np.linspace(0, size - 1, min(size, count)).round().astype(np.int64)


def scaled(samples: np.ndarray, gain: float) -> np.ndarray:
    """int16 [n] times a gain of at most 1, rounded to int16; the samples themselves at 1."""
    if gain == 1:
        return samples
    return np.rint(samples * np.float32(gain)).astype(np.int16)


def generator(*words: int) -> np.random.Generator:
    """A generator that the words alone decide; other words, of any number, give another one."""
    # SeedSequence takes [1] and [1, 0] for the same seed, hence the count.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((len(words), *words))))


def passes(size: int, count: int, random: np.random.Generator) -> np.ndarray:
    """int64 [count]: numbers below `size`, all of them once before any comes again."""
    whole = -(-count // size)
    return np.concatenate([random.permutation(size) for _ in range(max(whole, 1))])[:count]


def choose_buckets(lengths: np.ndarray, count: int) -> np.ndarray:
    """The bucket lengths that pad a corpus least.

    Args:
        lengths: int [n], samples of each utterance, n > 0.
        count: the most buckets there may be.

    Returns:
        int32 [at most count], rising multiples of 256 samples, the last one no shorter than
        the longest utterance; they minimise the sum over utterances of the length of the
        shortest bucket that holds it (dynamic programming over the distinct lengths).
    """
    hops, utterances = np.unique(-(-np.asarray(lengths) // HOP), return_counts=True)
    upto = np.concatenate([[0], np.cumsum(utterances)])
    # cost[j]: least padded size of the utterances of the j shortest lengths with the buckets
    # so far; a further bucket ends at length j and holds what is longer than length i.
    cost = np.concatenate([[0.0], np.full(len(hops), np.inf)])
    last = (upto[None, 1:] - upto[:-1, None]) * hops[None, :].astype(np.float64)
    last[np.tril_indices(len(hops), -1)] = np.inf
    begins = []
    for _ in range(min(count, len(hops))):
        total = cost[:-1, None] + last
        begins.append(total.argmin(axis=0))
        cost = np.concatenate([[0.0], total.min(axis=0)])
    ends, end = [], len(hops)
    for begin in reversed(begins):
        if end > 0:
            ends.append(hops[end - 1])
            end = begin[end - 1]
    return np.array(sorted(ends), np.int32) * np.int32(HOP)
