"""Processes audio of any length as a stream: cuts it into overlapping pieces and joins them."""

import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter

import numpy as np
import soxr

from jaxgan.speech.data.videos import FRAME_SAMPLES, count_frames
from jaxgan.speech.enhancer import Clip, Enhancer, Tag, Tagged

PIECE = 2**18
"""The maximum number of samples enhanced as one utterance: 16.4 s at 16000 Hz, about as long as the
longest training utterances. A generator that normalises its input over the utterance does worse on
much longer ones if the noise changes: on 8 minutes of such mixtures, one that was trained on 2 to
5 s reached a mean SI-SDR of 3.5 dB in pieces of 2 minutes, 5.1 dB in pieces of 33 s, 5.7 dB in
pieces of 16 s and 5.8 dB in pieces of 8 s."""
OVERLAP = 2**15
"""The number of samples that consecutive pieces share: 2.05 s."""


def cut(
    blocks: Iterable[np.ndarray], piece: int = PIECE, overlap: int = OVERLAP, grid: int = 1
) -> Iterator[np.ndarray]:
    """Cuts a stream into overlapping pieces, keeping less than two pieces and a block in memory.

    Args:
        blocks: [n, channels] arrays of any lengths; together they are the audio.
        piece: the maximum number of samples in a piece; at least 3 * overlap.
        overlap: the number of samples that each piece shares with the previous one.
        grid: every piece starts at a multiple of it, so the last one may be longer by as much.

    Yields:
        [n, channels]. The lengths of the last two pieces differ by little, at most one sample with
        a grid of 1, since a network has too little context in a very short piece. Audio that fits
        in one piece is one.
    """
    kept: list[np.ndarray] = []
    size = 0
    step = (piece - overlap) // grid * grid
    for block in blocks:
        kept.append(block)
        size += len(block)
        if size > 2 * piece - overlap:
            rest = np.concatenate(kept)
            while len(rest) > 2 * piece - overlap:
                yield rest[: step + overlap].copy()  # a view would keep all of `rest` in memory
                rest = rest[step:]
            kept, size = [rest], len(rest)
    if size == 0:
        return
    rest = np.concatenate(kept)
    if size <= piece:
        yield rest
        return
    start = (size - overlap) // 2 // grid * grid
    yield rest[: start + overlap]
    yield rest[start:]


def pair_with_video(
    pieces: Iterable[np.ndarray], video: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields every piece of `cut` with its part of a video, uint8 [F, height, width] or None.

    The pieces start with frames, since they were cut with the default overlap and `grid_of`.
    """
    start = 0
    for piece in pieces:
        first = start // FRAME_SAMPLES
        part = None if video is None else video[first : first + count_frames(len(piece))]
        yield piece, part
        start += len(piece) - OVERLAP


def grid_of(enhancer: Enhancer) -> int:
    """Returns the `grid` of `cut` for the pieces that a network enhances."""
    return FRAME_SAMPLES if enhancer.with_video else 1


def join(pieces: Iterable[np.ndarray], overlap: int = OVERLAP) -> Iterator[np.ndarray]:
    """Joins pieces from `cut` with cross-fades; unchanged pieces give the stream up to rounding.

    Args:
        pieces: float [n, channels] arrays.
        overlap: the number of samples that each piece shares with the previous one.

    Yields:
        Blocks of the stream, [n, channels].
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


def enhance_clips(enhancer: Enhancer, clips: Iterable[Clip[Tag]]) -> Iterator[Tagged[Tag]]:
    """Enhances waveforms of any length, in pieces if one is longer than `PIECE`.

    Args:
        enhancer: a trained enhancer.
        clips: tags, waveforms float32 [n] at 16000 Hz with n > 0, and videos, as for
            `Enhancer.each_clip`; consecutive tags differ.

    Yields:
        The same tags with the enhanced waveforms, float32 [n].
    """
    pieces = (
        (tag, piece[:, 0], part)
        for tag, wave, video in clips
        for piece, part in pair_with_video(cut([wave[:, None]], grid=grid_of(enhancer)), video)
    )
    for tag, enhanced in itertools.groupby(enhancer.each_clip(pieces), key=itemgetter(0)):
        yield tag, np.concatenate(list(join(wave[:, None] for _, wave in enhanced)))[:, 0]


def fade_in(overlap: int) -> np.ndarray:
    """Returns the weights of the later of two overlapping pieces: float32 [overlap], from 0 to 1.

    They are a raised cosine over the middle half. The outer quarters use only one piece, because
    the output of a bidirectional network is worse near the end of a piece, where it lacks context.
    The weights of both pieces add up to 1, which keeps the level since the pieces are almost equal.
    """
    phase = np.linspace(-0.5, 1.5, overlap).clip(0, 1)
    return ((1 - np.cos(np.pi * phase)) / 2).astype(np.float32)


def resample(
    blocks: Iterable[np.ndarray], rate: int, to_rate: int, channels: int
) -> Iterator[np.ndarray]:
    """Resamples a stream with soxr at its "HQ" quality.

    Args:
        blocks: float32 [n, channels] arrays of any lengths.
        rate: their rate in Hz.
        to_rate: the new rate in Hz.
        channels: the number of channels of every block.

    Yields:
        Blocks float32 [n, channels] of the same result as resampling the whole at once:
        round(N * to_rate / rate) samples for N. Equal rates leave the stream unchanged.
    """
    if rate == to_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, to_rate, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
