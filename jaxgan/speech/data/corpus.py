"""Pairs of clean and noisy utterances, how each round draws from them, and their bucket lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxgan.speech.data.checks import HOP
from jaxgan.speech.data.videos import Videos
from jaxgan.speech.data.waves import Waves

Conditions = Mapping[str, tuple[str, ...]]
"""For each condition, such as "snr", its value for every pair of a corpus."""
NO_BUCKETS = np.zeros(0, np.int32)
"""The bucket lengths of a corpus for which none have been chosen."""


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """The pairs that one round trains on.

    Attributes:
        index: int32 [n], each utterance's index in its corpus.
        gain: float32 [n], the factor that was applied to the clean side to keep the mixture within
            full scale.
        clean: n int16 arrays at 16000 Hz.
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
        names: the name of each pair: its path without suffix, with "/" between folders.
        clean_waves: the clean sides.
        noisy_waves: the noisy sides, of the same lengths.
        bucket_lengths: int32 [buckets], ascending padded lengths of batches, in samples.
        conditions: what is known about each pair: "snr" holds signal-to-noise ratios in dB, "noise"
            the kinds of noise; a file may add other conditions.
        videos: the videos of the talkers, if there are any.
    """

    names: tuple[str, ...]
    clean_waves: Waves
    noisy_waves: Waves
    bucket_lengths: np.ndarray = field(default_factory=NO_BUCKETS.copy)
    conditions: Conditions = field(default_factory=dict)
    videos: Videos | None = None

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.clean_waves)

    @property
    def lengths(self) -> np.ndarray:
        """The length of each utterance in samples, int32 [n]."""
        return self.clean_waves.lengths

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """Returns the clean side of a pair times a gain of at most 1, int16 [n]."""
        return scaled(self.clean_waves[index], gain)

    def noisy(self, index: int) -> np.ndarray:
        """Returns the noisy side of a pair, int16 [n]."""
        return self.noisy_waves[index]

    def select(self, indices: np.ndarray) -> "PairCorpus":
        """Returns a corpus of the pairs with these indices, in this order."""
        return PairCorpus(
            tuple(self.names[index] for index in indices),
            self.clean_waves.select(indices),
            self.noisy_waves.select(indices),
            self.bucket_lengths,
            {
                name: tuple(values[index] for index in indices)
                for name, values in self.conditions.items()
            },
            self.videos and self.videos.select(indices),
        )

    def take(self, order: np.ndarray) -> DrawnPairs:
        """Returns the pairs with these indices, in this order."""
        return DrawnPairs(
            index=order.astype(np.int32),
            gain=np.ones(len(order), np.float32),
            clean=[self.clean_waves[index] for index in order],
            noisy=[self.noisy_waves[index] for index in order],
        )

    def order(self, seed: int, round_number: int, count: int) -> np.ndarray:
        """Returns the indices of the pairs that `draw` returns, int64 [count]."""
        return shuffled_passes(len(self), count, random_generator(seed, round_number))

    def draw(self, seed: int, round_number: int, count: int) -> DrawnPairs:
        """Draws `count` pairs. The result depends only on the arguments.

        Every pair is drawn once before any is drawn again.
        """
        return self.take(self.order(seed, round_number, count))


def spread(size: int, count: int) -> np.ndarray:
    """Returns ascending indices spread evenly over `range(size)`, int64 [min(size, count)]."""
    return np.linspace(0, size - 1, min(size, count)).round().astype(np.int64)


def scaled(samples: np.ndarray, gain: float) -> np.ndarray:
    """Returns int16 [n] times a gain of at most 1, rounded to int16; not a copy if it is 1."""
    if gain == 1:
        return samples
    return np.rint(samples * np.float32(gain)).astype(np.int16)


def random_generator(*seeds: int) -> np.random.Generator:
    """Returns a random generator that depends only on the sequence of seeds, of any number."""
    # SeedSequence treats [1] and [1, 0] as the same seed, so their number is a part of it.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((len(seeds), *seeds))))


def shuffled_passes(size: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns indices below `size`, all of them once before any repeats, int64 [count]."""
    whole = -(-count // size)
    return np.concatenate([random.permutation(size) for _ in range(max(whole, 1))])[:count]


def choose_buckets(lengths: np.ndarray, count: int) -> np.ndarray:
    """Returns the bucket lengths that pad a corpus least.

    Args:
        lengths: int [n], the length of each utterance in samples, n > 0.
        count: the maximum number of buckets, at least 1.

    Returns:
        int32 [at most count], ascending multiples of 256 samples, the last one at least as long as
        the longest utterance. They minimise the total length of all utterances when each is padded
        to the shortest bucket that holds it (by dynamic programming over the distinct lengths).
    """
    hops, utterances = np.unique(-(-np.asarray(lengths) // HOP), return_counts=True)
    cumulative = np.concatenate([[0], np.cumsum(utterances)])
    # cost[j] is the minimum total padded length of the utterances with the j shortest distinct
    # lengths, given the buckets so far. last[i, j - 1] is the cost of one more bucket that ends at
    # the j-th length and holds the utterances longer than the i-th.
    cost = np.concatenate([[0.0], np.full(len(hops), np.inf)])
    last = (cumulative[None, 1:] - cumulative[:-1, None]) * hops[None, :].astype(np.float64)
    last[np.tril_indices(len(hops), -1)] = np.inf
    starts = []
    for _ in range(min(count, len(hops))):
        total = cost[:-1, None] + last
        starts.append(total.argmin(axis=0))
        cost = np.concatenate([[0.0], total.min(axis=0)])
    ends, end = [], len(hops)
    for start in reversed(starts):
        if end > 0:
            ends.append(hops[end - 1])
            end = start[end - 1]
    return np.array(sorted(ends), np.int32) * np.int32(HOP)
