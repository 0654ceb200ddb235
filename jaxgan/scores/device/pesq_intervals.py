"""The bad-interval pass of PESQ (ITU-T P.862): loud disturbances are looked at once more.

Where the disturbance stays above a limit for several frames, the estimate is shifted to where its
magnitude correlates best with the reference's, and each frame keeps the smaller disturbance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.scores.device.pesq_constants import Tables

_LOUD = 30.0
_SHORTEST = 5
_REACH = 8
"""Lags reach this many hops to either side."""
_PIECE = 14
"""An interval is correlated in pieces of so many frames, two hops more where it ends."""
_LEAST_CORRELATION = 0.5
_LEAST_POWER = 1e-6


class Intervals(NamedTuple):
    """Runs of bad frames.

    Attributes:
        inside: bool [B, frames].
        start: bool [B, frames], the first frame of each.
    """

    inside: jax.Array
    start: jax.Array


def find(disturbance: jax.Array, last: jax.Array) -> Intervals:
    """The intervals of five and more frames that have a bad frame close before and close after.

    Args:
        disturbance: symmetric, [B, frames].
        last: int32 [B], last frame of the speech.
    """
    frame = jnp.arange(disturbance.shape[1])
    bad = (disturbance > _LOUD) & (frame > 0) & (frame <= last[:, None])
    before = bad | _later(bad, 1) | _later(bad, 2)
    after = bad | _earlier(bad, 1) | _earlier(bad, 2)
    marked = before & after & (frame >= 2) & (frame < last[:, None] - 2)
    head = marked
    for distance in range(1, _SHORTEST):
        head &= _earlier(marked, distance)
    inside = head
    for distance in range(1, _SHORTEST):
        inside |= _later(head, distance)
    return Intervals(inside, inside & ~_later(inside, 1))


def shifted_frames(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    intervals: Intervals,
    tables: Tables,
) -> jax.Array:
    """[B, frames, frame]: the estimate's frames, shifted within each interval by its best lag.

    Args:
        reference: [B, S] after the input filter, zero at the end.
        estimate: [B, S] likewise.
        lengths: int32 [B], samples.
        intervals: of `find`.
        tables: of the sample rate.
    """
    lag = frame_lags(
        lax.stop_gradient(reference), lax.stop_gradient(estimate), lengths, intervals, tables
    )
    count, hop = lag.shape[1], tables.hop
    reach = _REACH * hop
    # Reading stops at the guard's end: beyond it, its last sample is repeated.
    end = lengths[:, None] + tables.guard - 1
    size = (count + 1) * hop + reach
    position = jnp.arange(size)
    held = jnp.pad(estimate, ((0, 0), (0, max(0, size - estimate.shape[1]))))[:, :size]
    edge = jnp.take_along_axis(held, jnp.minimum(end, size - 1), 1)
    held = jnp.pad(jnp.where(position <= end, held, edge), ((0, 0), (reach, 0)))
    first = jnp.arange(count) * hop + lag + reach

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
    """int32 [B, frames]: the best lag of the interval that a frame is in, else 0."""
    batch, count = intervals.inside.shape
    hop = tables.hop
    limit = batch * (count // (_SHORTEST + 1) + 1)
    at_once = min(limit, max(8, 2 * batch))
    starts = intervals.start.reshape(-1)
    found = jnp.sum(starts)
    places = jnp.nonzero(starts, size=limit + at_once, fill_value=0)[0]
    row, head = places // count, places % count
    outside = jnp.where(intervals.inside, count, jnp.arange(count))
    tail = lax.cummin(outside, axis=1, reverse=True)[row, head]

    position = jnp.arange(reference.shape[1])
    sides = _Sides(
        _fit(jnp.abs(reference), 0, (count + 2 * _REACH) * hop),
        _fit(
            _hold_ends(jnp.abs(estimate), lengths + tables.tail - 1, position),
            _REACH * hop,
            (count + 4 * _REACH) * hop,
        ),
    )

    def search(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        done, lags = carry
        some = (lax.dynamic_slice(x, (done,), (at_once,)) for x in (row, head, tail))
        valid = done + jnp.arange(at_once) < found
        best = _best_lags(sides, _Spans(valid, *some), hop)
        return done + at_once, lax.dynamic_update_slice(lags, best, (done,))

    # Within shard_map a carry has to vary over devices from the start, as `found` does.
    none = jnp.where(found > 0, 0, jnp.zeros(limit + at_once, jnp.int32))
    start = (jnp.zeros((), found.dtype), none)
    _, lags = lax.while_loop(lambda carry: carry[0] < found, search, start)
    number = jnp.maximum(jnp.cumsum(starts) - 1, 0).reshape(batch, count)
    return jnp.where(intervals.inside, lags[number], 0)


class _Sides(NamedTuple):
    """Magnitudes, the estimate's with `_REACH` hops before the first sample."""

    reference: jax.Array
    estimate: jax.Array


class _Spans(NamedTuple):
    """Intervals head <= frame < tail of pair row, int32 [n] each; those not valid are padding."""

    valid: jax.Array
    row: jax.Array
    head: jax.Array
    tail: jax.Array


def _best_lags(sides: _Sides, spans: _Spans, hop: int) -> jax.Array:
    """int32 [n]: for each interval the lag of best correlation.

    Pieces of 16 hops against 32 hops give the correlation at 16 hops' worth of lags; pieces of one
    interval are summed before the inverse transform.
    """
    valid, row, head, tail = spans
    lags = 2 * _REACH * hop

    def add_piece(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at, total = carry
        hops = jnp.where(at + _PIECE >= tail, tail - at + 2, _PIECE)
        near = _cut(sides.reference, row, at * hop, lags)
        near = jnp.where(jnp.arange(lags) < (hops * hop)[:, None], near, 0.0)
        wide = _cut(sides.estimate, row, at * hop, 2 * lags)
        product = jnp.conj(jnp.fft.rfft(near, 2 * lags)) * jnp.fft.rfft(wide)
        wanted = valid & (at < tail)
        return at + _PIECE, total + jnp.where(wanted[:, None], product, 0.0)

    zero = jnp.zeros((row.shape[0], lags + 1), jnp.result_type(sides.reference, 1j))
    # For shard_map, as in `frame_lags`.
    bins = jnp.where(valid[:, None], zero, zero)
    _, spectrum = lax.while_loop(
        lambda carry: jnp.any(valid & (carry[0] < tail)), add_piece, (head, bins)
    )
    correlation = jnp.fft.irfft(spectrum, 2 * lags)[:, :lags]
    near_energy = _block_energy(sides.reference, hop)[row]
    wide_energy = _block_energy(sides.estimate, hop)[row]
    near_power = _between(near_energy, head, tail + 2)
    wide_power = _between(wide_energy, head, tail + 2 + 2 * _REACH)
    searched = 2 * ((tail - head + 2) * hop + 2 * _REACH * hop)
    power_of_two = jnp.left_shift(1, 32 - lax.clz((searched - 1).astype(jnp.int32)))
    least = _LEAST_POWER * power_of_two.astype(near_power.dtype)
    norm = jnp.sqrt(near_power) * jnp.sqrt(wide_power)
    convincing = (near_power > least) & (wide_power > least)
    convincing &= jnp.max(correlation, -1) >= _LEAST_CORRELATION * norm
    best = jnp.argmax(correlation, -1).astype(jnp.int32) - _REACH * hop
    return jnp.where(convincing, best, 0)


def _cut(signals: jax.Array, row: jax.Array, start: jax.Array, size: int) -> jax.Array:
    return jax.vmap(lambda r, s: lax.dynamic_slice(signals, (r, s), (1, size))[0])(row, start)


def _block_energy(signals: jax.Array, hop: int) -> jax.Array:
    return jnp.sum(jnp.square(signals.reshape(signals.shape[0], -1, hop)), -1)


def _between(energy: jax.Array, first: jax.Array, stop: jax.Array) -> jax.Array:
    block = jnp.arange(energy.shape[1])
    inside = (block >= first[:, None]) & (block < stop[:, None])
    return jnp.sum(jnp.where(inside, energy, 0.0), -1)


def _hold_ends(signals: jax.Array, last: jax.Array, position: jax.Array) -> jax.Array:
    """Signals whose last sample is repeated after them."""
    edge = jnp.take_along_axis(signals, jnp.minimum(last, signals.shape[1] - 1)[:, None], 1)
    return jnp.where(position <= last[:, None], signals, edge)


def _fit(signals: jax.Array, before: int, size: int) -> jax.Array:
    """Signals with their first sample repeated before and their last one after, `size` in all."""
    after = size - before - signals.shape[1]
    padded = jnp.pad(signals, ((0, 0), (before, max(0, after))), mode="edge")
    return padded[:, :size]


def _later(values: jax.Array, frames: int) -> jax.Array:
    return jnp.pad(values, ((0, 0), (frames, 0)))[:, : values.shape[1]]


def _earlier(values: jax.Array, frames: int) -> jax.Array:
    return jnp.pad(values, ((0, 0), (0, frames)))[:, frames:]
