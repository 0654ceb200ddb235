"""What earlier generators made, kept with its scores, so that the discriminator does not forget.

A round's record holds the enhanced utterances that had a score; the clean sides are in the corpus.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from jaxgan.core.phase import shuffled
from jaxgan.core.state import History, Record
from jaxgan.speech.data.batching import build, plan_batches
from jaxgan.speech.data.corpus import Drawn, generator

STREAM = 1
"""Tells the draw of old items from that of new ones, which has the same seed and round."""


class CleanSource(Protocol):
    """A corpus, as far as replay needs it."""

    @property
    def bucket_lengths(self) -> np.ndarray:
        """int32 [buckets], rising."""

    def clean(self, index: int, gain: float = 1.0) -> np.ndarray:
        """int16 [n]: the clean side of an utterance."""


class ReplayBatch(NamedTuple):
    """Old items on the host, padded; a row that only fills has length 0 and labels NaN.

    Attributes:
        clean: int16 [B, T].
        enhanced: int16 [B, T].
        labels: float32 [B, S], normalised scores.
        lengths: int32 [B], samples.
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
    """The record of a round.

    Args:
        index: int32 [n], utterance numbers.
        gain: float32 [n], of the clean sides.
        lengths: int32 [n], samples; 0 in rows that only filled a batch.
        enhanced: n int16 arrays of at least that many samples.
        labels: float32 [n, S], normalised scores; items without any are left out.
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
    most: int,
    batch_size: int,
    seed: int,
    number: int,
) -> Iterator[ReplayBatch]:
    """A share of all items of all earlier rounds, drawn anew for each round without repetition.

    Args:
        history: records of `make_record`; empty ones hold nothing.
        corpus: the training corpus, for the clean sides.
        share: of all items, 0 to 1; their number is rounded to the nearest.
        most: items, even if the share is more; 0: no limit.
        batch_size: rows of each batch.
        seed: with `number`, decides the draw.
        number: of the round.
    """
    sizes = np.array([len(record.get("labels", ())) for record in history], np.int64)
    total = int(sizes.sum())
    random = generator(seed, number, STREAM)
    count = round(share * total)
    chosen = random.choice(total, min(count, most) if most else count, replace=False)
    begins = np.cumsum(sizes) - sizes
    origin = np.searchsorted(begins, chosen, side="right") - 1
    offsets = [
        np.cumsum(record["lengths"], dtype=np.int64) - record["lengths"] if len(record) else None
        for record in history
    ]

    index = np.zeros(len(chosen), np.int32)
    gain = np.ones(len(chosen), np.float32)
    labels, clean, enhanced = [], [], []
    for position, (round_, item) in enumerate(zip(origin, chosen - begins[origin], strict=True)):
        record, begin = history[round_], offsets[round_][item]
        index[position] = record["index"][item]
        gain[position] = record["gain"][item]
        labels.append(record["labels"][item])
        clean.append(corpus.clean(int(index[position]), float(gain[position])))
        enhanced.append(record["enhanced"][begin : begin + record["lengths"][item]])
    drawn = Drawn(index=index, gain=gain, clean=clean, noisy=enhanced)
    lengths = np.array([len(wave) for wave in clean], np.int32)
    plans = plan_batches(lengths, corpus.bucket_lengths, batch_size)
    for plan in [plans[place] for place in shuffled([plan.length for plan in plans], random)]:
        fields = build(plan, drawn)
        nothing = np.full_like(labels[0], np.nan)
        rows = np.stack([labels[row] if row >= 0 else nothing for row in plan.rows])
        yield ReplayBatch(fields["clean"], fields["noisy"], rows, fields["lengths"])
