"""SI-SDR in JAX, the scale-invariant signal-to-distortion ratio.

Le Roux et al., "SDR - half-baked or well done?" (2019), equation 5, after both means are removed.
"""

import jax
import jax.numpy as jnp

from jaxgan.scores.device.batches import batched

_LIMIT = 100.0


@batched
def si_sdr(pairs: jax.Array, lengths: jax.Array, peaks: jax.Array, _sample_rate: int) -> jax.Array:
    """Returns the scale-invariant signal-to-distortion ratio in dB, within +-100, higher is better.

    `batches.batched` describes arguments and results. The sample rate has no effect. A pair with a
    constant signal is NaN too.
    """
    inside = jnp.arange(pairs.shape[-1]) < lengths[:, None]
    # Scaling does not change SI-SDR, and at full scale no square leaves the range of float32.
    scaled = pairs / jnp.where(peaks > 0, peaks, 1.0)[..., None]
    count = jnp.maximum(lengths, 1).astype(pairs.dtype)
    centre = jnp.sum(scaled, -1) / count
    reference, estimate = centred = jnp.where(inside, scaled - centre[..., None], 0.0)
    # Subtracting the mean of a constant leaves rounding errors, not zeros.
    rounding = 32 * jnp.finfo(pairs.dtype).eps
    valid = jnp.all(jnp.max(jnp.abs(centred), -1) > rounding, 0)
    energy = jnp.sum(jnp.square(reference), -1)
    product = jnp.sum(reference * estimate, -1)
    target = (product / jnp.where(valid, energy, 1.0))[:, None] * reference
    target_energy = jnp.sum(jnp.square(target), -1)
    distortion_energy = jnp.sum(jnp.square(target - estimate), -1)
    floor = 10.0 ** (-_LIMIT / 10.0) * (target_energy + distortion_energy)
    floor = jnp.where(valid, floor, 1.0)
    ratio = jnp.maximum(target_energy, floor) / jnp.maximum(distortion_energy, floor)
    return jnp.where(valid, 10.0 * jnp.log10(ratio), jnp.nan)
