"""Losses of enhancement that more than one system uses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.core.state import Metrics, PyTree
from jaxgan.methods.adversarial import least_squares
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import Masking, as_float, masked_feature
from jaxgan.speech.networks.stft import valid_frames

DISTANCES: dict[str, Callable[[jax.Array], jax.Array]] = {"l1": jnp.abs, "mse": jnp.square}
"""By name, the function of the differences between two features whose mean is the distance."""


REAL, FAKE = 1.0, 0.0
"""The labels that a discriminator learns for clean and for enhanced speech."""


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
    valid = valid_frames(batch.lengths, clean.shape[1], masking.front_end)
    enhanced = masked_feature(masking, params, noisy, batch.lengths, key)
    return masked_mean(DISTANCES[distance](enhanced - clean), valid[..., None])


def discriminator_loss(
    of_clean: jax.Array, of_enhanced: jax.Array, filled: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the least-squares loss [] of a conditional D (Mao et al. 2017), and its metrics.

    Args:
        of_clean: float32 [N], D's output for clean speech.
        of_enhanced: float32 [N], D's output for enhanced speech.
        filled: bool [N], false for padding.
    """
    value = least_squares(of_clean, REAL, filled) + least_squares(of_enhanced, FAKE, filled)
    return value, {
        "d_loss": value,
        "d_clean": masked_mean(of_clean, filled),
        "d_enhanced": masked_mean(of_enhanced, filled),
    }


def generator_loss(
    of_enhanced: jax.Array,
    filled: jax.Array,
    difference: jax.Array,
    valid: jax.Array,
    l1_weight: float,
) -> tuple[jax.Array, Metrics]:
    """Returns the loss [] of a conditional G, least squares and L1, and its metrics.

    Args:
        of_enhanced: float32 [N], D's output for enhanced speech.
        filled: bool [N], false for padding.
        difference: float32 [N, ...], of enhanced from clean speech.
        valid: bool, broadcastable to `difference`: false for padding.
        l1_weight: lambda, the weight of the mean absolute difference.
    """
    adversarial = least_squares(of_enhanced, REAL, filled)
    distance = masked_mean(jnp.abs(difference), valid)
    value = adversarial + l1_weight * distance
    return value, {"g_loss": value, "g_adversarial": adversarial, "g_distance": distance}
