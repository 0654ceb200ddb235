"""The speech detector of PESQ: a reference without an utterance of 0.2 s has no score.

The detector works on the powers of blocks of 4 ms of the filtered reference. Only its decision is
needed here, because aligned signals need not be divided into utterances. The fade that PESQ applies
to the first and last 4 ms of the filtered reference is left out.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.scores.device.arrays import shift
from jaxgan.scores.device.pesq_constants import Tables

_THRESHOLD_ITERATIONS = 12
# In blocks.
_SHORTEST_BURST = 5
_LONGEST_PAUSE = 50
_SHORTEST_UTTERANCE = 50
_MARGIN = 2


def has_utterance(power: jax.Array, lengths: jax.Array, tables: Tables) -> jax.Array:
    """Returns, as bool [B], whether the reference contains an utterance of 0.2 s or more.

    An utterance may contain pauses of up to 0.2 s.

    Args:
        power: [B, blocks], from `pesq_filters.block_powers`.
        lengths: int32 [B], samples.
        tables: the tables of the sample rate.
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
    speech = _fill_pauses(_remove_bursts(speech, power, present, threshold))
    speech = jnp.where(jnp.any(speech, -1, keepdims=True), speech, interior)
    extended = speech
    for distance in range(1, _MARGIN + 1):
        extended |= shift(speech, distance) | shift(speech, -distance)
    return jnp.any(_position_in_run(extended & present) >= _SHORTEST_UTTERANCE, -1)


def _threshold(power: jax.Array, present: jax.Array, count: jax.Array) -> jax.Array:
    """Returns the speech threshold [B, 1]: the background level plus two standard deviations.

    The blocks above the threshold are excluded and the threshold is computed again, repeatedly.
    """
    loudest = jnp.max(power, -1, keepdims=True)
    floored = jnp.maximum(power, jnp.where(loudest > 0, 1e-4 * loudest, 1.0))
    start = jnp.sum(power, -1, keepdims=True) / count.astype(power.dtype)

    def refine(_: int, level: jax.Array) -> jax.Array:
        below = present & (floored <= level)
        number = jnp.maximum(jnp.sum(below, -1, keepdims=True), 1).astype(power.dtype)
        mean = jnp.sum(jnp.where(below, floored, 0.0), -1, keepdims=True) / number
        difference = jnp.where(below, floored - mean, 0.0)
        deviation = jnp.sqrt(jnp.sum(jnp.square(difference), -1, keepdims=True) / number)
        return 1.001 * (mean + 2.0 * deviation)

    return lax.fori_loop(0, _THRESHOLD_ITERATIONS, refine, start)


def _remove_bursts(
    speech: jax.Array, power: jax.Array, present: jax.Array, threshold: jax.Array
) -> jax.Array:
    """Returns speech without runs of up to 4 blocks and, in clean files, without faint runs."""
    pause = present & ~speech

    def mean_where(mask: jax.Array) -> jax.Array:
        number = jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1).astype(power.dtype)
        return jnp.sum(jnp.where(mask, power, 0.0), -1, keepdims=True) / number

    clean = mean_where(speech) >= 1000.0 * mean_where(pause)
    length, total = _run_statistics(speech, power)
    long_enough = speech & (length >= _SHORTEST_BURST)
    faint = total < 3.0 * threshold * length.astype(power.dtype)
    return long_enough & ~(clean & faint)


def _fill_pauses(speech: jax.Array) -> jax.Array:
    """Returns speech with the pauses of up to 50 blocks between two runs filled."""
    size = speech.shape[1]
    block = jnp.arange(size)
    far = 4 * size
    before = lax.cummax(jnp.where(speech, block, -far), axis=1)
    after = lax.cummin(jnp.where(speech, block, far), axis=1, reverse=True)
    return after - before - 1 <= _LONGEST_PAUSE


def _run_statistics(mask: jax.Array, power: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns, for every block of a run, the run's length in blocks and its summed power."""
    summed, within, distance = jnp.where(mask, power, 0.0), mask, 1
    while distance < mask.shape[1]:
        summed += jnp.where(within, shift(summed, distance), 0.0)
        within &= shift(within, distance)
        distance *= 2
    length = _value_at_run_end(_position_in_run(mask), mask)
    return length, _value_at_run_end(summed, mask)


def _position_in_run(mask: jax.Array) -> jax.Array:
    """Returns each block's position in its run, counted from 1, and 0 outside of runs."""
    block = jnp.arange(mask.shape[1])
    return block - lax.cummax(jnp.where(mask, -1, block), axis=1)


def _value_at_run_end(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns, for every block of a run, the value at the last block of the run."""
    size = mask.shape[1]
    block = jnp.arange(size)
    ends = mask & ~shift(mask, -1)
    end = lax.cummin(jnp.where(ends, block, size - 1), axis=1, reverse=True)
    return jnp.take_along_axis(values, end, 1)
