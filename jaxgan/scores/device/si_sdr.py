"""SI-SDR on the accelerator, the scale-invariant signal-to-distortion ratio.

Le Roux et al., "SDR - half-baked or well done?" (2019), equation 5, both means removed first.
"""

import jax
import jax.numpy as jnp

from jaxgan.scores.device.batches import batched

_LIMIT = 100.0


@batched
def si_sdr(pairs: jax.Array, lengths: jax.Array, peaks: jax.Array, _sample_rate: int) -> jax.Array:
    """Scale-invariant signal-to-distortion ratio in dB, within +-100, higher is better.

    Arguments and results as `batches.batched` says; the sample rate changes nothing. NaN where a
    side is constant too.
    """
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
