"""The codes of InfoGAN (Chen et al. 2016), and how much of them can be read from a sample."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

RANGES = {
    "categories": (2, math.inf),
    "continuous": (0, math.inf),
    "category_weight": (0, math.inf),
    "continuous_weight": (0, math.inf),
}
"""The lowest and the highest allowed value of a key of a config with codes."""


class Prior(NamedTuple):
    """The distribution that codes are drawn from.

    Attributes:
        categories: the number of values of the categorical code, all equally likely.
        continuous: the number of continuous codes, each uniform from -1 to 1.
    """

    categories: int
    continuous: int

    @property
    def width(self) -> int:
        """How many numbers G receives, and how many Q returns."""
        return self.categories + self.continuous


class Codes(NamedTuple):
    """Codes of several samples.

    Attributes:
        category: int32 [B].
        continuous: float32 [B, continuous].
    """

    category: jax.Array
    continuous: jax.Array


class Bounds(NamedTuple):
    """Lower bounds [] of the mutual information of samples and codes, in nats.

    Attributes:
        category: the bound for the categorical code, at most the logarithm of the number of
            categories.
        continuous: the bound for all continuous codes together. The standard deviation of 1 makes
            it loose: at most log 2 - log(2 pi) / 2 = -0.23 a code, though no information is
            negative.
    """

    category: jax.Array
    continuous: jax.Array


def draw(prior: Prior, key: jax.Array, count: int) -> Codes:
    """Returns random codes of `count` samples."""
    category_key, continuous_key = jax.random.split(key)
    return Codes(
        jax.random.randint(category_key, (count,), 0, prior.categories),
        jax.random.uniform(continuous_key, (count, prior.continuous), minval=-1.0),
    )


def conditions(prior: Prior, codes: Codes) -> jax.Array:
    """Returns codes as G receives them: a one-hot row and numbers, float32 [B, width]."""
    one_hot = jax.nn.one_hot(codes.category, prior.categories)
    return jnp.concatenate([one_hot, codes.continuous], axis=-1)


def bounds(prior: Prior, guesses: jax.Array, codes: Codes) -> Bounds:
    """Returns E log Q(c|x) + H(c) for both kinds of codes (Chen et al. 2016, equation 4).

    Args:
        prior: the prior of the codes.
        guesses: float32 [B, width], what Q returns for samples of the codes: a logit for each
            category, and the mean of a Gaussian of standard deviation 1 for each continuous code.
        codes: the codes of the samples.
    """
    logits, means = guesses[:, : prior.categories], guesses[:, prior.categories :]
    guessed = -optax.softmax_cross_entropy_with_integer_labels(logits, codes.category)
    densities = -((codes.continuous - means) ** 2) / 2 - math.log(2 * math.pi) / 2
    return Bounds(
        guessed.mean() + math.log(prior.categories),
        densities.sum(axis=-1).mean() + prior.continuous * math.log(2),
    )


def weighted(found: Bounds, weights: Bounds) -> jax.Array:
    """Returns the sum [] of bounds times their weights, two numbers."""
    return found.category * weights.category + found.continuous * weights.continuous
