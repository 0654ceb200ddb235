"""The optimizer that a speech config describes."""

import optax
from ml_collections import ConfigDict


def falling_rate(rate: float, decay: float) -> optax.ScalarOrSchedule:
    """Returns rate / (1 + n / decay) at update n (Robbins and Monro 1951); if decay is 0, rate."""
    if not decay:
        return rate
    return lambda count: rate / (1 + count / decay)


def adam(config: ConfigDict, learning_rate: float) -> optax.GradientTransformation:
    """Returns Adam (Kingma and Ba 2015) with the gradient clip and rate decay of a config.

    Args:
        config: keys gradient_clip, learning_rate_decay, adam_b1 and adam_b2.
        learning_rate: at the first update.
    """
    rate = falling_rate(learning_rate, config.learning_rate_decay)
    transformation = optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2)
    if config.gradient_clip:
        return optax.chain(optax.clip_by_global_norm(config.gradient_clip), transformation)
    return transformation
