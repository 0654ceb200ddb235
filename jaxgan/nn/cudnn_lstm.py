"""A bidirectional LSTM layer by cuDNN, for NVIDIA GPUs.

cuDNN takes the whole sequence in one call, where recurrent.py starts several programs for every
step. Parameters and numbers are the same, to rounding.
"""

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from jaxgan.core import devices


def serves(x: jax.Array) -> bool:
    """Whether `bidirectional` can be called: for float32 of known shape, on an NVIDIA GPU."""
    if x.dtype != jnp.float32 or not all(isinstance(size, int) for size in x.shape):
        return False
    return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version


def bidirectional(
    x: jax.Array,
    lengths: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
) -> jax.Array:
    """The layer from a zero state; every device computes its own rows.

    Args:
        x: float32 [B, T, in].
        lengths: int [B], steps that are not padding.
        kernel: float32 [2, in, 4 H], forward and backward; gates input, forget, cell, output.
        recurrent_kernel: float32 [2, H, 4 H].
        bias: float32 [2, 4 H].

    Returns:
        float32 [B, T, 2 H], without meaning in padding.
    """
    inputs, width = x.shape[-1], recurrent_kernel.shape[1]
    # cuDNN's order; it adds two biases to every gate, the second of which is zero here.
    parts = []
    for direction in range(2):
        parts += [kernel[direction].T, recurrent_kernel[direction].T]
    for direction in range(2):
        parts += [bias[direction], jnp.zeros_like(bias[direction])]
    weights = jnp.concatenate([part.ravel() for part in parts])
    # A row of padding has no steps, which not every version of cuDNN takes.
    steps = jnp.maximum(lengths, 1).astype(jnp.int32)

    def run(of_rows: tuple[jax.Array, jax.Array], shared: tuple[jax.Array]) -> jax.Array:
        (x, steps), (weights,) = of_rows, shared
        start = jnp.zeros((2, len(x), width), x.dtype)
        y, _, _ = rnn.lstm(x, start, start, weights, steps, inputs, width, 1, 0.0, True)
        return y

    return devices.on_each(run, (x, steps), (weights,))
