"""The bad intervals of PESQ (ITU-T P.862): large disturbances are computed again, realigned.

In an interval where the disturbance stays above a limit for several frames, the estimate is shifted
by the lag at which its magnitude correlates best with the reference's. Each frame then keeps the
smaller of its two disturbances.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.scores.device.arrays import shift
from jaxgan.scores.device.pesq_constants import Tables

_BAD_DISTURBANCE = 30.0
_SHORTEST_FRAMES = 5
_MAX_LAG_HOPS = 8
_PIECE_FRAMES = 14
"""An interval is correlated in pieces of this many frames; the last is longer by two hops."""
_LOWEST_CORRELATION = 0.5
_LOWEST_POWER = 1e-6


class Intervals(NamedTuple):
    """Bad intervals, which are runs of frames.

    Attributes:
        inside: bool [B, frames], whether a frame is in an interval.
        start: bool [B, frames], whether a frame is the first of an interval.
    """

    inside: jax.Array
    start: jax.Array


def find(disturbance: jax.Array, last: jax.Array) -> Intervals:
    """Returns the bad intervals: runs of five or more frames that are bad or between bad frames.

    A frame belongs to an interval if one of itself and its two predecessors is bad, and one of
    itself and its two successors. It is bad if its disturbance exceeds 30.

    Args:
        disturbance: symmetric disturbance [B, frames].
        last: int32 [B], last frame of the speech.
    """
    frame = jnp.arange(disturbance.shape[1])
    bad = (disturbance > _BAD_DISTURBANCE) & (frame > 0) & (frame <= last[:, None])
    before = bad | shift(bad, 1) | shift(bad, 2)
    after = bad | shift(bad, -1) | shift(bad, -2)
    marked = before & after & (frame >= 2) & (frame < last[:, None] - 2)
    head = marked
    for distance in range(1, _SHORTEST_FRAMES):
        head &= shift(marked, -distance)
    inside = head
    for distance in range(1, _SHORTEST_FRAMES):
        inside |= shift(head, distance)
    return Intervals(inside, inside & ~shift(inside, 1))


def shifted_frames(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    intervals: Intervals,
    tables: Tables,
) -> jax.Array:
    """Returns the estimate's frames [B, frames, frame], shifted in each interval by its best lag.

    Args:
        reference: [B, S] after the input filter, followed by zeros.
        estimate: [B, S] after the input filter, followed by zeros.
        lengths: int32 [B], samples.
        intervals: the intervals that `find` returns.
        tables: the tables of the sample rate.
    """
    lag = frame_lags(
        lax.stop_gradient(reference), lax.stop_gradient(estimate), lengths, intervals, tables
    )
    count, hop = lag.shape[1], tables.hop
    max_lag = _MAX_LAG_HOPS * hop
    # The sample at the end of the guard is repeated after it.
    end = lengths[:, None] + tables.guard - 1
    size = (count + 1) * hop + max_lag
    position = jnp.arange(size)
    held = jnp.pad(estimate, ((0, 0), (0, max(0, size - estimate.shape[1]))))[:, :size]
    edge = jnp.take_along_axis(held, jnp.minimum(end, size - 1), 1)
    held = jnp.pad(jnp.where(position <= end, held, edge), ((0, 0), (max_lag, 0)))
    first = jnp.arange(count) * hop + lag + max_lag

    def cut(signal: jax.Array, start: jax.Array) -> jax.Array:
        return jax.vmap(lambda s: lax.dynamic_slice(signal, (s,), (tables.frame,)))(start)

    return jax.vmap(cut)(held, first)


def frame_lags(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    intervals: Intervals,
    tables: Tables,
) -> jax.Array:
    """Returns the best lag of each frame's interval in samples, int32 [B, frames].

    Frames outside of intervals have the lag 0. Arguments as for `shifted_frames`.
    """
    batch, count = intervals.inside.shape
    hop = tables.hop
    limit = batch * (count // (_SHORTEST_FRAMES + 1) + 1)
    group = min(limit, max(8, 2 * batch))
    starts = intervals.start.reshape(-1)
    total = jnp.sum(starts)
    places = jnp.nonzero(starts, size=limit + group, fill_value=0)[0]
    row, head = places // count, places % count
    outside = jnp.where(intervals.inside, count, jnp.arange(count))
    tail = lax.cummin(outside, axis=1, reverse=True)[row, head]

    position = jnp.arange(reference.shape[1])
    magnitudes = _Magnitudes(
        _pad_with_edges(jnp.abs(reference), 0, (count + 2 * _MAX_LAG_HOPS) * hop),
        _pad_with_edges(
            _repeat_last(jnp.abs(estimate), lengths + tables.tail - 1, position),
            _MAX_LAG_HOPS * hop,
            (count + 4 * _MAX_LAG_HOPS) * hop,
        ),
    )

    def search(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        done, lags = carry
        part = (lax.dynamic_slice(x, (done,), (group,)) for x in (row, head, tail))
        valid = done + jnp.arange(group) < total
        best = _best_lags(magnitudes, _Spans(valid, *part), hop)
        return done + group, lax.dynamic_update_slice(lags, best, (done,))

    # In shard_map a carry must vary over devices from the start; `total` makes it so.
    zeros = jnp.where(total > 0, 0, jnp.zeros(limit + group, jnp.int32))
    start = (jnp.zeros((), total.dtype), zeros)
    _, lags = lax.while_loop(lambda carry: carry[0] < total, search, start)
    number = jnp.maximum(jnp.cumsum(starts) - 1, 0).reshape(batch, count)
    return jnp.where(intervals.inside, lags[number], 0)


class _Magnitudes(NamedTuple):
    """Magnitudes of both signals; the estimate's are padded by `_MAX_LAG_HOPS` at the start."""

    reference: jax.Array
    estimate: jax.Array


class _Spans(NamedTuple):
    """Intervals head <= frame < tail of the pairs `row`, int32 [n]; invalid ones are padding."""

    valid: jax.Array
    row: jax.Array
    head: jax.Array
    tail: jax.Array


def _best_lags(magnitudes: _Magnitudes, spans: _Spans, hop: int) -> jax.Array:
    """Returns the lag of the best correlation for each interval, int32 [n].

    Correlating a piece of up to 16 hops with 32 hops gives the correlation at all lags. The spectra
    of the pieces of an interval are summed before the inverse transform.
    """
    valid, row, head, tail = spans
    lags = 2 * _MAX_LAG_HOPS * hop

    def add_piece(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at, total = carry
        hops = jnp.where(at + _PIECE_FRAMES >= tail, tail - at + 2, _PIECE_FRAMES)
        piece = _slices(magnitudes.reference, row, at * hop, lags)
        piece = jnp.where(jnp.arange(lags) < (hops * hop)[:, None], piece, 0.0)
        searched = _slices(magnitudes.estimate, row, at * hop, 2 * lags)
        product = jnp.conj(jnp.fft.rfft(piece, 2 * lags)) * jnp.fft.rfft(searched)
        unfinished = valid & (at < tail)
        return at + _PIECE_FRAMES, total + jnp.where(unfinished[:, None], product, 0.0)

    zero = jnp.zeros((row.shape[0], lags + 1), jnp.result_type(magnitudes.reference, 1j))
    # Varies over devices for shard_map, as in `frame_lags`.
    bins = jnp.where(valid[:, None], zero, zero)
    _, spectrum = lax.while_loop(
        lambda carry: jnp.any(valid & (carry[0] < tail)), add_piece, (head, bins)
    )
    correlation = jnp.fft.irfft(spectrum, 2 * lags)[:, :lags]
    reference_energy = _block_energy(magnitudes.reference, hop)[row]
    estimate_energy = _block_energy(magnitudes.estimate, hop)[row]
    reference_power = _sum_between(reference_energy, head, tail + 2)
    estimate_power = _sum_between(estimate_energy, head, tail + 2 + 2 * _MAX_LAG_HOPS)
    samples = 2 * ((tail - head + 2) * hop + 2 * _MAX_LAG_HOPS * hop)
    power_of_two = jnp.left_shift(1, 32 - lax.clz((samples - 1).astype(jnp.int32)))
    lowest = _LOWEST_POWER * power_of_two.astype(reference_power.dtype)
    norm = jnp.sqrt(reference_power) * jnp.sqrt(estimate_power)
    reliable = (reference_power > lowest) & (estimate_power > lowest)
    reliable &= jnp.max(correlation, -1) >= _LOWEST_CORRELATION * norm
    best = jnp.argmax(correlation, -1).astype(jnp.int32) - _MAX_LAG_HOPS * hop
    return jnp.where(reliable, best, 0)


def _slices(signals: jax.Array, row: jax.Array, start: jax.Array, size: int) -> jax.Array:
    return jax.vmap(lambda r, s: lax.dynamic_slice(signals, (r, s), (1, size))[0])(row, start)


def _block_energy(signals: jax.Array, hop: int) -> jax.Array:
    return jnp.sum(jnp.square(signals.reshape(signals.shape[0], -1, hop)), -1)


def _sum_between(energy: jax.Array, first: jax.Array, stop: jax.Array) -> jax.Array:
    block = jnp.arange(energy.shape[1])
    inside = (block >= first[:, None]) & (block < stop[:, None])
    return jnp.sum(jnp.where(inside, energy, 0.0), -1)


def _repeat_last(signals: jax.Array, last: jax.Array, position: jax.Array) -> jax.Array:
    """Returns signals [B, S] in which the sample at `last` [B] replaces all later ones."""
    edge = jnp.take_along_axis(signals, jnp.minimum(last, signals.shape[1] - 1)[:, None], 1)
    return jnp.where(position <= last[:, None], signals, edge)


def _pad_with_edges(signals: jax.Array, before: int, size: int) -> jax.Array:
    """Returns signals padded to [B, size]: the first sample `before` times, the last at the end."""
    after = size - before - signals.shape[1]
    padded = jnp.pad(signals, ((0, 0), (before, max(0, after))), mode="edge")
    return padded[:, :size]
