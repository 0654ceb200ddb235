"""Checks that the metrics and the state of a round are finite."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree, RunState


def not_finite(metrics: Mapping[str, float], state: RunState) -> str:
    """Returns the name of the first metric or array that is not finite, or an empty string."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            return f"train/{name} ({value})"
    arrays = {"players": state.players, "memory": state.memory}
    if bool(jax.device_get(_all_finite(arrays))):
        return ""
    leaves = jax.tree_util.tree_flatten_with_path(arrays)[0]
    path = next(path for path, leaf in leaves if not bool(jax.device_get(_all_finite(leaf))))
    return jax.tree_util.keystr(path, simple=True, separator="/")


@jax.jit
def _all_finite(tree: PyTree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves], bool))
