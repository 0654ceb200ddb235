"""What all device scores share: checking a batch, and running it in groups that fit a cache."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

_CPU_GROUP = 4
"""Pairs that a CPU works on at once; more leave its caches and are slower."""


def prepare(
    reference: jax.Array, estimate: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One float array [2, B, T], zero past the lengths and in items that are not finite.

    Args:
        reference: floating [B, T] with full scale 1, or int16 [B, T].
        estimate: likewise.
        lengths: integers [B], samples; what lies past them is not read.

    Returns:
        (pairs [2, B, T] float32, or float64 where both were, lengths int32 [B], finite bool [B]).
    """
    if reference.ndim != 2 or reference.shape != estimate.shape:
        raise ValueError(
            f"reference and estimate must both be [B, T], not {reference.shape} and "
            f"{estimate.shape}"
        )
    if lengths.shape != reference.shape[:1]:
        raise ValueError(f"lengths must be [B] = {reference.shape[:1]}, not {lengths.shape}")
    lengths = jnp.clip(lengths.astype(jnp.int32), 0, reference.shape[1])
    inside = jnp.arange(reference.shape[1]) < lengths[:, None]
    pairs = jnp.stack([_floating(reference), _floating(estimate)])
    pairs = jnp.where(inside, pairs, 0.0)
    finite = jnp.all(jnp.isfinite(pairs), (0, 2))
    return jnp.where(finite[:, None], pairs, 0.0), lengths, finite


def in_groups(
    score: Callable[[jax.Array, jax.Array], jax.Array],
    pairs: jax.Array,
    lengths: jax.Array,
    group: int | None,
) -> jax.Array:
    """`score` on a few pairs at a time, one group after the other.

    Args:
        score: (pairs [2, G, T], lengths [G]) -> [G].
        pairs: [2, B, T].
        lengths: int32 [B].
        group: G; None for 4 on a CPU and the whole batch elsewhere.
    """
    batch = pairs.shape[1]
    if group is None:
        group = _CPU_GROUP if jax.default_backend() == "cpu" else batch
    group = max(1, min(group, batch))
    groups = -(-batch // group)
    if groups == 1:
        return score(pairs, lengths)
    extra = groups * group - batch
    pairs = jnp.pad(pairs, ((0, 0), (0, extra), (0, 0))).reshape(2, groups, group, -1)
    lengths = jnp.pad(lengths, (0, extra)).reshape(groups, group)
    scores = lax.map(lambda part: score(*part), (jnp.moveaxis(pairs, 1, 0), lengths))
    return scores.reshape(-1)[:batch]


def _floating(samples: jax.Array) -> jax.Array:
    if samples.dtype == jnp.int16:
        return samples.astype(jnp.float32) / 32768.0
    return samples if samples.dtype == jnp.float64 else samples.astype(jnp.float32)
