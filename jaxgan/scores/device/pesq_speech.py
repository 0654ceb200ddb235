"""Whether PESQ finds speech in a reference: it refuses one without an utterance of 0.2 s.

The method works on the powers of blocks of 4 ms behind a fixed filter. Only the yes or no is
needed here, since aligned signals need no division into utterances. What the method does to the
first and last 4 ms of the filtered reference, a fade, is left out.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.scores.device.pesq_constants import Tables

_ITERATIONS = 12
_SHORTEST_BURST = 5
_LONGEST_GAP = 50
_SHORTEST_UTTERANCE = 50
_GROWTH = 2


def has_utterance(power: jax.Array, lengths: jax.Array, tables: Tables) -> jax.Array:
    """bool [B]: whether the reference holds an utterance, with pauses of up to 0.2 s inside.

    Args:
        power: [B, blocks], of `pesq_filters.block_powers`.
        lengths: int32 [B], samples.
        tables: of the sample rate.
    """
    power = jnp.pad(power, ((0, 0), (tables.guard // tables.block, 0)))
    count = ((lengths + 2 * tables.guard) // tables.block)[:, None]
    block = jnp.arange(power.shape[1])
    present = block < count
    power = jnp.where(present, power, 0.0)
    threshold = _threshold(power, present, count)
    speech = (power > threshold) & present
    none = ~jnp.any(speech, -1, keepdims=True)
    threshold = jnp.where(none, -1.0, threshold)
    interior = present & (block > 0) & (block < count - 1)
    speech = jnp.where(none, interior, speech & interior)
    speech = _join(_drop(speech, power, present, threshold))
    speech = jnp.where(jnp.any(speech, -1, keepdims=True), speech, interior)
    grown = speech
    for distance in range(1, _GROWTH + 1):
        grown |= _shift(speech, distance) | _shift(speech, -distance)
    return jnp.any(_place_in_run(grown & present) >= _SHORTEST_UTTERANCE, -1)


def _threshold(power: jax.Array, present: jax.Array, count: jax.Array) -> jax.Array:
    """[B, 1]: the level of the background, found by leaving out what stands above it."""
    loudest = jnp.max(power, -1, keepdims=True)
    floored = jnp.maximum(power, jnp.where(loudest > 0, 1e-4 * loudest, 1.0))
    start = jnp.sum(power, -1, keepdims=True) / count.astype(power.dtype)

    def refine(_: int, level: jax.Array) -> jax.Array:
        below = present & (floored <= level)
        number = jnp.maximum(jnp.sum(below, -1, keepdims=True), 1).astype(power.dtype)
        mean = jnp.sum(jnp.where(below, floored, 0.0), -1, keepdims=True) / number
        apart = jnp.where(below, floored - mean, 0.0)
        deviation = jnp.sqrt(jnp.sum(jnp.square(apart), -1, keepdims=True) / number)
        return 1.001 * (mean + 2.0 * deviation)

    return lax.fori_loop(0, _ITERATIONS, refine, start)


def _drop(
    speech: jax.Array, power: jax.Array, present: jax.Array, threshold: jax.Array
) -> jax.Array:
    """Speech without bursts of up to 4 blocks, and, in clean files, without faint runs."""
    pause = present & ~speech

    def mean_where(chosen: jax.Array) -> jax.Array:
        number = jnp.maximum(jnp.sum(chosen, -1, keepdims=True), 1).astype(power.dtype)
        return jnp.sum(jnp.where(chosen, power, 0.0), -1, keepdims=True) / number

    clean = mean_where(speech) >= 1000.0 * mean_where(pause)
    length, total = _run_facts(speech, power)
    kept = speech & (length >= _SHORTEST_BURST)
    faint = total < 3.0 * threshold * length.astype(power.dtype)
    return kept & ~(clean & faint)


def _join(speech: jax.Array) -> jax.Array:
    """Speech with the pauses of up to 50 blocks between two runs filled."""
    size = speech.shape[1]
    block = jnp.arange(size)
    far = 4 * size
    before = lax.cummax(jnp.where(speech, block, -far), axis=1)
    after = lax.cummin(jnp.where(speech, block, far), axis=1, reverse=True)
    return after - before - 1 <= _LONGEST_GAP


def _run_facts(chosen: jax.Array, power: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The length in blocks and the summed power of the run that a block is in."""

    summed, within, distance = jnp.where(chosen, power, 0.0), chosen, 1
    while distance < chosen.shape[1]:
        summed += jnp.where(within, _shift(summed, distance), 0.0)
        within &= _shift(within, distance)
        distance *= 2
    length = _spread_back(_place_in_run(chosen), chosen)
    return length, _spread_back(summed, chosen)


def _place_in_run(chosen: jax.Array) -> jax.Array:
    block = jnp.arange(chosen.shape[1])
    return block - lax.cummax(jnp.where(chosen, -1, block), axis=1)


def _spread_back(running: jax.Array, chosen: jax.Array) -> jax.Array:
    """The value at the last block of the run that a block is in."""
    size = chosen.shape[1]
    block = jnp.arange(size)
    ends = chosen & ~_shift(chosen, -1)
    end = lax.cummin(jnp.where(ends, block, size - 1), axis=1, reverse=True)
    return jnp.take_along_axis(running, end, 1)


def _shift(values: jax.Array, blocks: int) -> jax.Array:
    """Later by so many blocks, earlier where negative."""
    late, early = max(blocks, 0), max(-blocks, 0)
    padded = jnp.pad(values, ((0, 0), (late, early)))
    return padded[:, early : early + values.shape[1]]
