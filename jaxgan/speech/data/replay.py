"""Replays the outputs of earlier generators, with their scores, to the discriminator.

The record of a round contains its enhanced utterances that have a score. The clean sides come from
the corpus.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from jaxgan.core.state import History, Record
from jaxgan.core.steps import shuffled
from jaxgan.speech.data.batching import build, plan_batches
from jaxgan.speech.data.corpus import DrawnPairs, random_generator

STREAM = 1
"""Part of the seed, so that this draw differs from that of new items in the same round."""


class CleanSource(Protocol):
    """The part of a corpus that replay needs."""

    @property
    def bucket_lengths(self) -> np.ndarray:
        """The ascending padded lengths of batches in samples, int32 [buckets]."""

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """Returns the clean side of an utterance times a gain, int16 [n]."""


class ReplayBatch(NamedTuple):
    """Padded items of earlier rounds, as NumPy arrays.

    Attributes:
        clean: int16 [B, T].
        enhanced: int16 [B, T].
        labels: float32 [B, S], S normalised scores per item; NaN where there is none, and in rows
            that only fill the batch.
        lengths: int32 [B], in samples; 0 in rows that only fill the batch.
    """

    clean: np.ndarray
    enhanced: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def make_record(
    index: np.ndarray,
    gain: np.ndarray,
    lengths: np.ndarray,
    enhanced: Sequence[np.ndarray],
    labels: np.ndarray,
) -> Record:
    """Returns the record of a round.

    Args:
        index: int32 [n], the index of each utterance in its corpus.
        gain: float32 [n], the gain of each clean side.
        lengths: int32 [n], in samples; 0 in rows that only filled a batch.
        enhanced: n int16 arrays, each at least as long as its length.
        labels: float32 [n, S], normalised scores, NaN where there is none.

    Returns:
        "index", "gain", "lengths" and "labels" of the m items with at least one score, and
        "enhanced", int16 [sum of their lengths], their samples one after another.
    """
    kept = np.flatnonzero(np.isfinite(labels).any(axis=1) & (lengths > 0))
    cut = [enhanced[item][: lengths[item]] for item in kept.tolist()]
    return {
        "index": index[kept],
        "gain": gain[kept],
        "lengths": lengths[kept],
        "enhanced": np.concatenate([*cut, np.zeros(0, np.int16)]),
        "labels": labels[kept],
    }


def replay_batches(
    history: History,
    corpus: CleanSource,
    share: float,
    limit: int,
    batch_size: int,
    seed: int,
    number: int,
) -> Iterator[ReplayBatch]:
    """Yields batches of a random share of the items of all earlier rounds, each item at most once.

    Args:
        history: records from `make_record`; they may be empty.
        corpus: the training corpus, for the clean sides.
        share: the share of all items to draw, from 0 to 1, rounded to a whole number of items.
        limit: the maximum number of items; 0 for no limit.
        batch_size: the number of rows in every batch.
        seed: decides the draw, together with `number`.
        number: the current round.
    """
    sizes = np.array([len(record.get("labels", ())) for record in history], np.int64)
    total = int(sizes.sum())
    random = random_generator(seed, number, STREAM)
    count = round(share * total)
    chosen = random.choice(total, min(count, limit) if limit else count, replace=False)
    firsts = np.cumsum(sizes) - sizes
    rounds = np.searchsorted(firsts, chosen, side="right") - 1
    offsets = [
        np.cumsum(record["lengths"], dtype=np.int64) - record["lengths"] if len(record) else None
        for record in history
    ]

    index = np.zeros(len(chosen), np.int32)
    gain = np.ones(len(chosen), np.float32)
    labels, clean, enhanced = [], [], []
    for position, (past, item) in enumerate(zip(rounds, chosen - firsts[rounds], strict=True)):
        record, start = history[past], offsets[past][item]
        index[position] = record["index"][item]
        gain[position] = record["gain"][item]
        labels.append(record["labels"][item])
        clean.append(corpus.clean(int(index[position]), float(gain[position])))
        enhanced.append(record["enhanced"][start : start + record["lengths"][item]])
    drawn = DrawnPairs(index=index, gain=gain, clean=clean, noisy=enhanced)
    lengths = np.array([len(wave) for wave in clean], np.int32)
    plans = plan_batches(lengths, corpus.bucket_lengths, batch_size)
    for plan in [plans[i] for i in shuffled([plan.length for plan in plans], random)]:
        fields = build(plan, drawn)
        missing = np.full_like(labels[0], np.nan)
        padded_labels = np.stack([labels[row] if row >= 0 else missing for row in plan.rows])
        yield ReplayBatch(fields["clean"], fields["noisy"], padded_labels, fields["lengths"])
