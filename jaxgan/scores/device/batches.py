"""Batch handling of the device scores: validity of pairs, and groups that fit a CPU's caches."""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.core import devices
from jaxgan.scores.score import INT16_SCALE

_CPU_GROUP = 4
"""Pairs that a CPU processes at a time; larger groups do not fit its caches and are slower."""

PairScore = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(pairs float [2, B, T], zero past the lengths, lengths int32 [B], peaks [2, B]) -> scores [B]."""


class BatchScore(Protocol):
    """The public signature of a device score; `batched` describes it."""

    def __call__(
        self,
        reference: jax.Array,
        estimate: jax.Array,
        lengths: jax.Array,
        sample_rate: int = 16000,
        *,
        group: int | None = None,
    ) -> jax.Array:
        """Returns scores [B]."""


def batched(score: Callable[[jax.Array, jax.Array, jax.Array, int], jax.Array]) -> BatchScore:
    """Decorates a `PairScore` that also takes the sample rate; returns a jitted score of batches.

    The decorated function takes

        reference: clean speech, floating [B, T] with full scale 1, or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, in the same formats.
        lengths: integers [B], samples; samples past them are not read.
        sample_rate: sample rate in Hz, 16000 by default.
        group: pairs to process at a time; None for 4 on a CPU and the whole batch elsewhere.

    It returns float32 [B], or float64 [B] if both signals are float64. A pair in which a sample is
    not finite or a signal is silent is NaN. It raises ValueError if the shapes do not fit.
    """

    def score_pairs(
        reference: jax.Array,
        estimate: jax.Array,
        lengths: jax.Array,
        sample_rate: int = 16000,
        *,
        group: int | None = None,
    ) -> jax.Array:
        def score_at_rate(pairs: jax.Array, lengths: jax.Array, peaks: jax.Array) -> jax.Array:
            return score(pairs, lengths, peaks, sample_rate)

        return score_batch(score_at_rate, reference, estimate, lengths, group)

    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(score_pairs, attribute, getattr(score, attribute))
    return jax.jit(score_pairs, static_argnames=("sample_rate", "group"))


def score_batch(
    score: PairScore,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    group: int | None,
) -> jax.Array:
    """Returns the scores [B] of a batch, computed a few pairs at a time.

    A pair in which a sample is not finite or a signal is silent is NaN. Under `jax.set_mesh`, each
    device scores its own rows.

    Args:
        score: the score; it receives float32 pairs, or float64 pairs if both signals are float64.
        reference: floating [B, T] with full scale 1, or int16 [B, T].
        estimate: floating [B, T] with full scale 1, or int16 [B, T].
        lengths: integers [B], samples; samples past them are not read.
        group: pairs to process at a time; None for 4 on a CPU and the whole batch elsewhere.

    Raises:
        ValueError: the shapes do not fit.
    """
    if reference.ndim != 2 or reference.shape != estimate.shape:
        raise ValueError(
            f"reference and estimate must both be [B, T], not {reference.shape} and "
            f"{estimate.shape}"
        )
    batch = reference.shape[0]
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must be [B] = [{batch}], not {lengths.shape}")

    # Pairs share loops and conditionals, for which devices would exchange signals and wait.
    def score_rows(rows: tuple[jax.Array, jax.Array, jax.Array], _: tuple[()]) -> jax.Array:
        return _score_groups(score, *rows, group)

    scores: jax.Array = devices.on_each(score_rows, (reference, estimate, lengths), ())
    return scores


def _score_groups(
    score: PairScore,
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    group: int | None,
) -> jax.Array:
    batch = reference.shape[0]
    if group is None:
        group = _CPU_GROUP if jax.default_backend() == "cpu" else batch
    group = max(1, min(group, batch))
    groups = -(-batch // group)
    if groups == 1:
        return _score_group(score, reference, estimate, lengths)
    extra = groups * group - batch
    parts = [
        jnp.pad(x, [(0, extra)] + [(0, 0)] * (x.ndim - 1)).reshape(groups, group, *x.shape[1:])
        for x in (reference, estimate, lengths)
    ]
    return lax.map(lambda part: _score_group(score, *part), tuple(parts)).reshape(-1)[:batch]


def _score_group(
    score: PairScore, reference: jax.Array, estimate: jax.Array, lengths: jax.Array
) -> jax.Array:
    lengths = jnp.clip(lengths.astype(jnp.int32), 0, reference.shape[1])
    inside = jnp.arange(reference.shape[1]) < lengths[:, None]
    pairs = jnp.where(inside, jnp.stack([_to_floating(reference), _to_floating(estimate)]), 0.0)
    # The peaks do not show this: XLA's maximum on a CPU may ignore a NaN.
    finite = jnp.all(jnp.isfinite(pairs), (0, 2))
    peaks = lax.stop_gradient(jnp.max(jnp.abs(pairs), -1))
    # Replace non-finite signals by zeros, so that the gradients of the other pairs stay finite.
    pairs = jnp.where(finite[:, None], pairs, 0.0)
    scores = score(pairs, lengths, jnp.where(finite, peaks, 0.0))
    return jnp.where(finite & jnp.all(peaks > 0, 0), scores, jnp.nan)


def _to_floating(samples: jax.Array) -> jax.Array:
    if samples.dtype == jnp.int16:
        return samples.astype(jnp.float32) / INT16_SCALE
    return samples if samples.dtype == jnp.float64 else samples.astype(jnp.float32)
