"""Losses of enhancement that more than one system uses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import Masking, as_float, masked_feature

DISTANCES: dict[str, Callable[[jax.Array], jax.Array]] = {"l1": jnp.abs, "mse": jnp.square}
"""By name, the function of the differences between two features whose mean is the distance."""


def mask_distance(
    masking: Masking, params: PyTree, batch: Batch, key: jax.Array, distance: str
) -> jax.Array:
    """Returns the mean distance [] of the masked noisy feature from the clean feature.

    Args:
        masking: the front end and the generator.
        params: of the generator.
        batch: clean and noisy utterances; the mean is over their valid frames and all bins.
        key: for dropout.
        distance: one of `DISTANCES`.
    """
    noisy, clean = (masking.feature_of(as_float(wave)) for wave in (batch.noisy, batch.clean))
    valid = jnp.arange(clean.shape[1]) < masking.frames(batch.lengths)[:, None]
    enhanced = masked_feature(masking, params, noisy, batch.lengths, key)
    return masked_mean(DISTANCES[distance](enhanced - clean), valid[..., None])
