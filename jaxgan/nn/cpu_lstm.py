"""A bidirectional LSTM layer in C++ for a CPU.

Parameters and numbers are those of recurrent.py, to rounding. The products with all inputs are
XLA's; the recurrence is told in cpu_lstm.cc.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxgan.core import devices
from jaxgan.nn import native

SOURCE = Path(__file__).with_suffix(".cc")
FUNCTIONS = ("LstmForward", "LstmForwardKept", "LstmBackward")
FORWARD, FORWARD_KEPT, BACKWARD = FUNCTIONS

Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def serves(x: jax.Array) -> bool:
    """Whether `bidirectional` can be called: for float32 of known shape, on a CPU, if compiled."""
    known = all(isinstance(size, int) for size in x.shape)
    on_cpu = jax.default_backend() == "cpu"
    return x.dtype == jnp.float32 and known and on_cpu and native.register(SOURCE, FUNCTIONS)


def bidirectional(
    x: jax.Array,
    lengths: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
) -> jax.Array:
    """The layer from a zero state, differentiable once; B may be sharded over devices.

    Args:
        x: float32 [B, T, in].
        lengths: int [B], steps that are not padding.
        kernel: float32 [2, in, 4 H], forward and backward; gates input, forget, cell, output.
        recurrent_kernel: float32 [2, H, 4 H].
        bias: float32 [2, 4 H].

    Returns:
        float32 [B, T, 2 H], zero in padding.
    """
    batch, steps, size = x.shape
    gates = kernel.shape[-1]
    both = jnp.moveaxis(kernel, 0, 1).reshape(size, 2 * gates)
    inputs = x.reshape(-1, size) @ both + bias.ravel()
    inputs = inputs.reshape(batch, steps, 2, gates)
    return recur(inputs, lengths.astype(jnp.int32), recurrent_kernel).reshape(batch, steps, -1)


@jax.custom_vjp
def recur(inputs: jax.Array, lengths: jax.Array, kernel: jax.Array) -> jax.Array:
    """The hidden states of both directions.

    Args:
        inputs: float32 [B, T, 2, 4 H], what input and bias add to the gates.
        lengths: int32 [B].
        kernel: float32 [2, H, 4 H].

    Returns:
        float32 [B, T, 2, H], zero in padding.
    """
    _, steps, _, gates = inputs.shape
    (hiddens,) = _call(FORWARD, [(steps, 2, gates // 4)], (inputs, lengths), kernel)
    return hiddens


def _forward(
    inputs: jax.Array, lengths: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, Residuals]:
    _, steps, _, size = inputs.shape
    shapes = [(steps, 2, size // 4), (steps, 2, size), (steps, 2, size // 4)]
    hiddens, gates, cells = _call(FORWARD_KEPT, shapes, (inputs, lengths), kernel)
    return hiddens, (hiddens, gates, cells, lengths, kernel)


def _backward(residuals: Residuals, dhiddens: jax.Array) -> tuple[jax.Array, None, jax.Array]:
    hiddens, gates, cells, lengths, kernel = residuals
    of_rows = (dhiddens, gates, cells, lengths)
    (dinputs,) = _call(BACKWARD, [gates.shape[1:]], of_rows, kernel)
    # Hidden states before each step; behind the end of a sequence they are zero.
    before = (
        jnp.pad(hiddens[:, :-1, 0], ((0, 0), (1, 0), (0, 0))),
        jnp.pad(hiddens[:, 1:, 1], ((0, 0), (0, 1), (0, 0))),
    )
    dkernel = [
        jnp.einsum("bth,btg->hg", hidden, dinputs[:, :, direction])
        for direction, hidden in enumerate(before)
    ]
    return dinputs, None, jnp.stack(dkernel)


recur.defvjp(_forward, _backward)


def _call(
    function: str,
    shapes: Sequence[tuple[int, ...]],
    of_rows: tuple[jax.Array, ...],
    kernel: jax.Array,
) -> Sequence[jax.Array]:
    """The C++ function of arrays [B, ...] and the kernel: float32 results [B, *shape]."""
    return devices.on_each(functools.partial(native.call, function, shapes), of_rows, (kernel,))
