"""What the device scores share: cleaning a batch, and running it in groups that fit a cache."""

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import lax

_CPU_GROUP = 4
"""Pairs that a CPU works on at once; more leave its caches and are slower."""

PairScore = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(pairs float [2, B, T], zero past the lengths int32 [B], their peaks [2, B]) -> scores [B]."""


class BatchScore(Protocol):
    """A score on the device, as users call it; its signature is described at `batched`."""

    def __call__(
        self,
        reference: jax.Array,
        estimate: jax.Array,
        lengths: jax.Array,
        sample_rate: int = 16000,
        *,
        group: int | None = None,
    ) -> jax.Array:
        """Scores [B]."""


def batched(score: Callable[[jax.Array, jax.Array, jax.Array, int], jax.Array]) -> BatchScore:
    """Decorates a `PairScore` that also takes the sample rate: a jitted score of padded batches.

    What results is called with

        reference: clean speech, floating [B, T] with full scale 1, or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, likewise.
        lengths: integers [B], samples; what lies past them is not read.
        sample_rate: Hz, 16000 where not given.
        group: pairs worked on at a time; None for 4 on a CPU and all of them elsewhere.

    and gives float32 [B], float64 where both sides are. It is NaN at least for items where a sample
    is not finite or a side is silent.
    """

    def of_batch(
        reference: jax.Array,
        estimate: jax.Array,
        lengths: jax.Array,
        sample_rate: int = 16000,
        *,
        group: int | None = None,
    ) -> jax.Array:
        def of_pairs(pairs: jax.Array, lengths: jax.Array, peaks: jax.Array) -> jax.Array:
            return score(pairs, lengths, peaks, sample_rate)

        return score_batch(of_pairs, reference, estimate, lengths, group)

    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(of_batch, attribute, getattr(score, attribute))
    return jax.jit(of_batch, static_argnames=("sample_rate", "group"))


def score_batch(
    score: PairScore,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    group: int | None,
) -> jax.Array:
    """Scores [B] of a batch, NaN where a side is silent or not finite, a few pairs at a time.

    Args:
        score: what to compute; its pairs are float32, or float64 where both sides were.
        reference: floating [B, T] with full scale 1, or int16 [B, T].
        estimate: likewise.
        lengths: integers [B], samples; what lies past them is not read.
        group: pairs at a time; None for 4 on a CPU and all of them elsewhere.
    """
    if reference.ndim != 2 or reference.shape != estimate.shape:
        raise ValueError(
            f"reference and estimate must both be [B, T], not {reference.shape} and "
            f"{estimate.shape}"
        )
    batch = reference.shape[0]
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must be [B] = [{batch}], not {lengths.shape}")
    if group is None:
        group = _CPU_GROUP if jax.default_backend() == "cpu" else batch
    group = max(1, min(group, batch))
    groups = -(-batch // group)
    whole = functools.partial(_score_group, score)
    if groups == 1:
        return whole(reference, estimate, lengths)
    extra = groups * group - batch
    parts = [
        jnp.pad(x, [(0, extra)] + [(0, 0)] * (x.ndim - 1)).reshape(groups, group, *x.shape[1:])
        for x in (reference, estimate, lengths)
    ]
    return lax.map(lambda part: whole(*part), tuple(parts)).reshape(-1)[:batch]


def _score_group(
    score: PairScore, reference: jax.Array, estimate: jax.Array, lengths: jax.Array
) -> jax.Array:
    lengths = jnp.clip(lengths.astype(jnp.int32), 0, reference.shape[1])
    inside = jnp.arange(reference.shape[1]) < lengths[:, None]
    pairs = jnp.where(inside, jnp.stack([_floating(reference), _floating(estimate)]), 0.0)
    # Not from the peaks: XLA's maximum on a CPU may pass over a NaN.
    finite = jnp.all(jnp.isfinite(pairs), (0, 2))
    peaks = lax.stop_gradient(jnp.max(jnp.abs(pairs), -1))
    # Zeros in place of what is not finite, so that gradients of the other items stay finite.
    pairs = jnp.where(finite[:, None], pairs, 0.0)
    scores = score(pairs, lengths, jnp.where(finite, peaks, 0.0))
    return jnp.where(finite & jnp.all(peaks > 0, 0), scores, jnp.nan)


def _floating(samples: jax.Array) -> jax.Array:
    if samples.dtype == jnp.int16:
        return samples.astype(jnp.float32) / 32768.0
    return samples if samples.dtype == jnp.float64 else samples.astype(jnp.float32)
