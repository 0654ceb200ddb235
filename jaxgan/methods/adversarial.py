"""Losses of adversarial training.

`LOSSES` holds the losses of the GAN papers by name, for batches of real and of generated samples.
`least_squares`, `wasserstein` and `gradient_penalty` take a mask as well: they are for batches that
are padded, or that mix the kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus

from jaxgan.core.errors import UserError
from jaxgan.nn.masked import masked_mean

LABELLED = ("minimax", "non_saturating")
"""The losses whose discriminator can smooth its labels."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of the two players; both are minimised.

    Attributes:
        discriminator: (real, fake, **options) -> loss []. `real` and `fake` are the raw outputs of
            the discriminator, float [...], for real and for generated samples: logits, values of a
            critic, or energies, never after a sigmoid. Entry i of both makes a pair, which only
            "loss_sensitive" uses; for all other losses the two may differ in shape. The options are
            keywords: `smoothing` of "minimax" and "non_saturating", `margin` of "margin", and
            `margin`, `nu` and `real_weight` of "loss_sensitive".
        generator: (fake) -> loss [].
    """

    discriminator: Callable[..., jax.Array]
    generator: Callable[[jax.Array], jax.Array]


def _cross_entropy(real: jax.Array, fake: jax.Array, *, smoothing: float = 0.0) -> jax.Array:
    """Goodfellow et al. 2014, equation 1, on logits.

    The target of real samples is 1 - smoothing; that of generated ones stays 0, because any other
    would reward the generator where there are no data (Salimans et al. 2016, section 3.4).
    """
    on_real = (1 - smoothing) * softplus(-real) + smoothing * softplus(real)
    return jnp.mean(on_real) + jnp.mean(softplus(fake))


def _least_squares(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Mao et al. 2017, equation 9: labels 1 and 0."""
    return jnp.mean((real - 1) ** 2) / 2 + jnp.mean(fake**2) / 2


def _wasserstein(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Arjovsky, Chintala and Bottou 2017, algorithm 1."""
    return jnp.mean(fake) - jnp.mean(real)


def _hinge(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Lim and Ye 2017."""
    return jnp.mean(relu(1 - real)) + jnp.mean(relu(1 + fake))


def _loss_sensitive(
    real: jax.Array,
    fake: jax.Array,
    *,
    margin: jax.Array | float,
    nu: float = 0.0,
    real_weight: float = 0.0,
) -> jax.Array:
    """Qi 2017, with the cost max(a, nu a) of its generalisation, GLS-GAN, in place of relu.

    Args:
        real: float [B], energies of real samples.
        fake: float [B], energies of generated samples; the i-th is compared with the i-th of real.
        margin: how much larger the energy of the generated one should be, float [B] or a number;
            see `pair_margin`. A constant under differentiation.
        nu: 0 for the paper's hinge; with 1 the gradient is that of "wasserstein" with critic -L.
        real_weight: the weight of the mean energy of real samples. It is 0 in the author's code.
    """
    excess = jax.lax.stop_gradient(margin) + real - fake
    return real_weight * jnp.mean(real) + jnp.mean(jnp.maximum(excess, nu * excess))


def _margin(real: jax.Array, fake: jax.Array, *, margin: float) -> jax.Array:
    """Zhao, Mathieu and LeCun 2017, equation 1, on energies that are at least 0."""
    return jnp.mean(real) + jnp.mean(relu(margin - fake))


def _minus_mean(fake: jax.Array) -> jax.Array:
    return -jnp.mean(fake)


LOSSES = {
    # The paper's value function, which loses its gradient when D rejects every sample.
    "minimax": AdversarialLoss(_cross_entropy, lambda fake: -jnp.mean(softplus(fake))),
    "non_saturating": AdversarialLoss(_cross_entropy, lambda fake: jnp.mean(softplus(-fake))),
    "least_squares": AdversarialLoss(_least_squares, lambda fake: jnp.mean((fake - 1) ** 2) / 2),
    "wasserstein": AdversarialLoss(_wasserstein, _minus_mean),
    "hinge": AdversarialLoss(_hinge, _minus_mean),
    # Energies: the discriminator gives real samples the lower values.
    "loss_sensitive": AdversarialLoss(_loss_sensitive, jnp.mean),
    "margin": AdversarialLoss(_margin, jnp.mean),
}


def pair_margin(real: jax.Array, fake: jax.Array, scale: float) -> jax.Array:
    """Returns the margins [B] of "loss_sensitive": scale times the L1 distance of each pair.

    Args:
        real: float [B, ...], samples, not the discriminator's outputs.
        fake: float [B, ...].
        scale: tau of Qi 2017; 2e-4 in the author's code for 64 x 64 x 3 values.
    """
    return scale * jnp.sum(jnp.abs(real - fake), axis=tuple(range(1, real.ndim)))


def check_combination(
    loss: str,
    *,
    smoothing: float = 0.0,
    sigmoid: bool = False,
    batch_norm: bool = False,
    minibatch_discrimination: bool = False,
    gradient_penalty: float = 0.0,
    clip: float = 0.0,
    momentum: float = 0.0,
) -> str:
    """Refuses settings of a discriminator that cannot work together, named as their config keys.

    Args:
        loss: a name in `LOSSES`.
        smoothing: how much the label of real samples is lowered.
        sigmoid: whether the discriminator ends with a sigmoid.
        batch_norm: whether it has batch normalisation.
        minibatch_discrimination: whether it compares the samples of a batch.
        gradient_penalty: the weight of the gradient penalty; 0 for none.
        clip: the limit that parameters are clipped to; 0 for none.
        momentum: the momentum of its optimizer; Adam's b1.

    Returns:
        A warning of one line for the log; empty if there is nothing to warn about.

    Raises:
        UserError: the loss is unknown, or a paper excludes the combination.
    """
    if loss not in LOSSES:
        raise UserError(f"config.loss: '{loss}' is unknown; use one of {', '.join(LOSSES)}")
    if smoothing and loss not in LABELLED:
        raise UserError(
            f"config.smoothing: '{loss}' has no labels to smooth; set it to 0, or config.loss to "
            f"{' or '.join(LABELLED)}"
        )
    if sigmoid:
        raise UserError(
            f"config.sigmoid: '{loss}' takes the discriminator's raw outputs; set it to False"
        )
    if gradient_penalty and batch_norm:
        raise UserError(
            "config.discriminator.normalisation=batch: the gradient penalty is of one sample at a "
            "time, and batch normalisation mixes the samples; choose layer or none, or "
            "config.gradient_penalty=0"
        )
    if gradient_penalty and minibatch_discrimination:
        raise UserError(
            "config.minibatch_discrimination: the gradient penalty is of one sample at a time, and "
            "minibatch discrimination mixes the samples; set it to False, or "
            "config.gradient_penalty=0"
        )
    if clip and momentum:
        return (
            f"config.clip={clip:g} with momentum {momentum:g}: Arjovsky et al. 2017 found clipped "
            "critics unstable with momentum; use RMSprop without it"
        )
    return ""


def least_squares(prediction: jax.Array, label: jax.Array | float, valid: jax.Array) -> jax.Array:
    """Returns the least-squares loss [] of a discriminator or a generator.

    The mean of (prediction - label)^2 over the valid entries (Mao et al. 2017, equation 9, without
    the factor 1/2). A label may be NaN where `valid` is false.

    Args:
        prediction: float32 [...], the discriminator's output.
        label: a number, or float32 [...].
        valid: bool [...].
    """
    error = prediction - jnp.where(valid, label, 0)
    return masked_mean(error**2, valid)


def wasserstein(values: jax.Array, real: jax.Array) -> jax.Array:
    """Returns the loss [] of a Wasserstein critic: mean over generated minus mean over real.

    Arjovsky, Chintala and Bottou 2017, algorithm 1. A batch without one of the kinds counts as if
    that mean were 0.

    Args:
        values: float32 [B], the critic's output.
        real: bool [B], which rows are real.
    """
    counts = jnp.where(real, jnp.sum(real), jnp.sum(~real))
    return jnp.sum(jnp.where(real, -1.0, 1.0) * values / counts)


def gradient_penalty(slopes: jax.Array, valid: jax.Array | bool = True) -> jax.Array:
    """Returns the mean [] of (slope - 1)^2 over the valid entries; 0 if there are none.

    Gulrajani et al. 2017, equation 3, without its weight.

    Args:
        slopes: float32 [B], norms of the critic's gradient between real and generated samples; see
            `jaxgan.methods.regularisers.slopes_between`.
        valid: bool [B]; all by default.
    """
    return masked_mean((slopes - 1) ** 2, jnp.asarray(valid))
