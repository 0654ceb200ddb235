"""Draws long sequences value by value, from the start or as continuations of given beginnings."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.heads import Head
from jaxgan.sequences.networks.language_model import with_params
from jaxgan.sequences.networks.stacked_lstm import StackedLSTM


def continue_values(
    params: PyTree,
    key: jax.Array,
    beginning: jax.Array,
    lengths: jax.Array,
    text: jax.Array,
    setting: jax.Array,
    *,
    network: StackedLSTM,
    head: Head,
    steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns values that continue given beginnings; priming (Graves 2013, section 5.5).

    Args:
        params: the parameters of the network.
        key: the PRNG key of the draw.
        beginning: [B, P, ...], values of which the first is read but not returned; P at least 1.
        lengths: int32 [B], how many of them belong to the beginning of each row, at least 1.
        text: int32 [B, U], what a window reads.
        setting: [], the last argument of the head's `draw`.
        network: the network.
        head: says what its outputs mean.
        steps: how many values are returned.

    Returns:
        [B, steps, ...], for each row the rest of its beginning and then what is drawn, and bool
        [B, steps], whether the window had passed the end of its text before the value.
    """
    after = jnp.moveaxis(beginning[:, 1:], 1, 0)[:steps]
    missing = steps - len(after)
    given = jnp.pad(after, ((0, missing), *[(0, 0)] * (after.ndim - 1)))

    def step(carry: tuple[Any, jax.Array], inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        state, value = carry
        number, of_beginning = inputs
        read = head.inputs(value)[:, None]
        state, outputs, passed = read_next(state, read, text)
        drawn = head.draw(jax.random.fold_in(key, number), outputs[:, 0], setting)
        known = (number + 1 < lengths).reshape(-1, *[1] * (drawn.ndim - 1))
        value = jnp.where(known, of_beginning, drawn).astype(value.dtype)
        return (state, value), (value, passed[:, 0])

    read_next = with_params(network, params)
    start = network.initial_state(len(beginning)), beginning[:, 0]
    _, (values, passed) = jax.lax.scan(step, start, (jnp.arange(steps), given))
    return jnp.moveaxis(values, 1, 0), passed.T
