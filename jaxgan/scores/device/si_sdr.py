"""SI-SDR on the accelerator, the scale-invariant signal-to-distortion ratio.

Le Roux et al., "SDR - half-baked or well done?" (2019), equation 5, both means removed first.
"""

import functools

import jax
import jax.numpy as jnp

from jaxgan.scores.device.batches import score_batch

_LIMIT = 100.0


@functools.partial(jax.jit, static_argnames=("sample_rate", "group"))
def si_sdr(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    sample_rate: int = 16000,
    *,
    group: int | None = None,
) -> jax.Array:
    """Scale-invariant signal-to-distortion ratio in dB, within +-100, higher is better.

    Args:
        reference: clean speech, floating [B, T] or int16 [B, T].
        estimate: likewise.
        lengths: integers [B], samples; what lies past them is not read.
        sample_rate: Hz; changes nothing.
        group: pairs worked on at a time; None for 4 on a CPU and all of them elsewhere.

    Returns:
        float32 [B] (float64 where both sides are). NaN where a sample is not finite or a side is
        constant.
    """
    del sample_rate
    return score_batch(_score, reference, estimate, lengths, group)


def _score(pairs: jax.Array, lengths: jax.Array, peaks: jax.Array) -> jax.Array:
    inside = jnp.arange(pairs.shape[-1]) < lengths[:, None]
    # Levels change nothing; at full scale no square leaves float32's range.
    scaled = pairs / jnp.where(peaks > 0, peaks, 1.0)[..., None]
    count = jnp.maximum(lengths, 1).astype(pairs.dtype)
    centre = jnp.sum(scaled, -1) / count
    reference, estimate = centred = jnp.where(inside, scaled - centre[..., None], 0.0)
    # A constant leaves the rounding of its mean behind, not zeros.
    least = 32 * jnp.finfo(pairs.dtype).eps
    valid = jnp.all(jnp.max(jnp.abs(centred), -1) > least, 0)
    energy = jnp.sum(jnp.square(reference), -1)
    product = jnp.sum(reference * estimate, -1)
    target = (product / jnp.where(valid, energy, 1.0))[:, None] * reference
    target_energy = jnp.sum(jnp.square(target), -1)
    distortion_energy = jnp.sum(jnp.square(target - estimate), -1)
    floor = 10.0 ** (-_LIMIT / 10.0) * (target_energy + distortion_energy)
    floor = jnp.where(valid, floor, 1.0)
    ratio = jnp.maximum(target_energy, floor) / jnp.maximum(distortion_energy, floor)
    return jnp.where(valid, 10.0 * jnp.log10(ratio), jnp.nan)
