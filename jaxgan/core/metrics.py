"""Metrics of a round from the metrics of its steps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgan.core.state import Metrics


@struct.dataclass
class Average:
    """A mean over all items of a round, whatever batch they were in.

    Attributes:
        total: [], the sum over the items of a step.
        count: [], how many items there were; a round without any leaves the metric out.
    """

    total: jax.Array
    count: jax.Array


@struct.dataclass
class Total:
    """A sum over all steps of a round.

    Attributes:
        value: [], the amount of a step.
    """

    value: jax.Array


def average_of(values: jax.Array, valid: jax.Array) -> Average:
    """Returns the `Average` of the values [...] where `valid` [...] is true."""
    return Average(jnp.sum(jnp.where(valid, values, 0)), jnp.sum(valid))


def of_round(steps: Sequence[Metrics]) -> dict[str, float]:
    """Returns the metrics of a round by name.

    Scalars are averaged over the steps, `Average`s over their items, and `Total`s are added up.

    Args:
        steps: the metrics of every step, in host memory, with the same names in each.
    """
    return of_stacked(jax.tree.map(lambda *leaves: np.stack(leaves), *steps)) if steps else {}


def of_stacked(steps: Metrics) -> dict[str, float]:
    """Returns what `of_round` returns.

    Args:
        steps: the metrics of all steps; every array has the axis [steps] only.
    """
    found: dict[str, float] = {}
    for name, values in steps.items():
        if isinstance(values, Total):
            found[name] = float(np.sum(values.value))
        elif isinstance(values, Average):
            count = np.sum(values.count)
            if count:
                found[name] = float(np.sum(values.total) / count)
        else:
            found[name] = float(np.mean(values))
    return found
