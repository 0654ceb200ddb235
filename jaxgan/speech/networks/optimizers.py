"""Builds the optimizer that a speech config describes."""

import optax
from ml_collections import ConfigDict


def falling_rate(rate: float, decay: float) -> optax.ScalarOrSchedule:
    """Returns the rate at update n: rate / (1 + n / decay), or a constant if decay is 0.

    Robbins and Monro, "A stochastic approximation method", 1951.
    """
    if not decay:
        return rate
    return lambda count: rate / (1 + count / decay)


def adam(config: ConfigDict, learning_rate: float) -> optax.GradientTransformation:
    """Returns Adam (Kingma and Ba 2015) with a falling rate and gradient clipping.

    Args:
        config: has the keys gradient_clip (the maximum global norm of the gradient; 0 for no
            clipping), learning_rate_decay (see `falling_rate`), adam_b1 and adam_b2.
        learning_rate: the rate of the first update.
    """
    rate = falling_rate(learning_rate, config.learning_rate_decay)
    transformation = optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2)
    if config.gradient_clip:
        return optax.chain(optax.clip_by_global_norm(config.gradient_clip), transformation)
    return transformation
