"""Audio of any length in overlapped pieces: cut, enhanced and joined again as streams of blocks."""

import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter

import numpy as np
import soxr

from jaxgan.speech.enhancer import Enhancer, Tag, Tagged

PIECE = 2**18
"""Samples that are enhanced as one utterance: 16.4 s at 16000 Hz, about the longest that training
sees. A generator that normalises its input over the utterance does worse on much longer ones when
the noise changes: on 8 minutes of such mixtures one that had been trained on 2 to 5 s reached a
mean SI-SDR of 3.5 dB in pieces of 2 minutes, 5.1 of 33 s, 5.7 of 16 s and 5.8 of 8 s."""
OVERLAP = 2**15
"""Samples that two neighbouring pieces share: 2.05 s."""


def cut(
    blocks: Iterable[np.ndarray], piece: int = PIECE, overlap: int = OVERLAP
) -> Iterator[np.ndarray]:
    """Cuts a stream into pieces that overlap; holds less than two pieces and a block of it.

    Args:
        blocks: [n, channels] of any lengths; together they are the audio.
        piece: most samples of a piece; at least 3 * overlap.
        overlap: samples that each piece shares with the one before.

    Yields:
        [n, channels]. The last two pieces are equally long to a sample: none is so short that a
        network which hears it alone knows too little. Audio that fits is one piece.
    """
    held: list[np.ndarray] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size > 2 * piece - overlap:
            rest = np.concatenate(held)
            while len(rest) > 2 * piece - overlap:
                yield rest[:piece].copy()  # a view would keep all of `rest` in memory
                rest = rest[piece - overlap :]
            held, size = [rest], len(rest)
    if size == 0:
        return
    rest = np.concatenate(held)
    if size <= piece:
        yield rest
        return
    half = (size + overlap) // 2
    yield rest[:half]
    yield rest[half - overlap :]


def join(pieces: Iterable[np.ndarray], overlap: int = OVERLAP) -> Iterator[np.ndarray]:
    """Joins what `cut` has cut: the inverse of it where the pieces are unchanged, up to rounding.

    Args:
        pieces: [n, channels].
        overlap: samples that each piece shares with the one before.

    Yields:
        [n, channels] blocks of one stream, cross-faded over the shared stretches.
    """
    fade = fade_in(overlap)[:, None]
    tail: np.ndarray | None = None
    for piece in pieces:
        if tail is not None:
            yield tail + fade * (piece[:overlap] - tail)
            piece = piece[overlap:]
        yield piece[:-overlap]
        tail = piece[-overlap:]
    if tail is not None:
        yield tail


def enhance_waves(enhancer: Enhancer, waves: Iterable[Tagged[Tag]]) -> Iterator[Tagged[Tag]]:
    """Enhances whole waveforms of any length, in pieces where one is longer than `PIECE`.

    Args:
        enhancer: a trained one.
        waves: as in `Enhancer.each`, none empty, no tag twice in a row.

    Yields:
        As `Enhancer.each`.
    """
    pieces = ((tag, piece[:, 0]) for tag, wave in waves for piece in cut([wave[:, None]]))
    for tag, enhanced in itertools.groupby(enhancer.each(pieces), key=itemgetter(0)):
        yield tag, np.concatenate(list(join(wave[:, None] for _, wave in enhanced)))[:, 0]


def fade_in(overlap: int) -> np.ndarray:
    """How much of the later piece is heard: float32 [overlap], from 0 to 1.

    A raised cosine over the middle half. In the outer quarters one piece alone is heard, for close
    to its end a piece knows little of what lies beyond, which bidirectional networks notice.
    Weights that add up to 1 keep the level, the two pieces being all but equal.
    """
    place = np.linspace(-0.5, 1.5, overlap).clip(0, 1)
    return ((1 - np.cos(np.pi * place)) / 2).astype(np.float32)


def resample(
    blocks: Iterable[np.ndarray], rate: int, to_rate: int, channels: int
) -> Iterator[np.ndarray]:
    """Resamples a stream (soxr, HQ).

    Args:
        blocks: float32 [n, channels] of any lengths.
        rate: theirs, in Hz.
        to_rate: wanted, in Hz.
        channels: of every block.

    Yields:
        float32 [n, channels] blocks: what resampling the whole at once would give, N samples in
        all becoming round(N * to_rate / rate). Equal rates leave the stream as it is.
    """
    if rate == to_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, to_rate, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
