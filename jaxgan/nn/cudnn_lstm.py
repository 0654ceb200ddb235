"""A bidirectional LSTM layer computed by cuDNN, on NVIDIA GPUs.

cuDNN processes the whole sequence in one call, whereas recurrent.py launches several kernels for
every step. The parameters are the same, and the results agree to rounding.
"""

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from jaxgan.core import devices


def available(x: jax.Array) -> bool:
    """Returns whether `bidirectional` can be traced with this input.

    It needs float32, a known shape and an NVIDIA GPU in this process, which jax asks for the size
    of cuDNN's workspace.
    """
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
    """Applies the layer from zero states; every device computes its own rows.

    Args:
        x: float32 [B, T, in].
        lengths: int [B], the number of valid steps.
        kernel: float32 [2, in, 4 H], forward and backward, gates in the order input, forget, cell,
            output.
        recurrent_kernel: float32 [2, H, 4 H].
        bias: float32 [2, 4 H].

    Returns:
        float32 [B, T, 2 H], unspecified in padding.
    """
    inputs, width = x.shape[-1], recurrent_kernel.shape[1]
    # cuDNN's order of weights. It adds two biases to every gate; the second is zero here.
    parts = []
    for direction in range(2):
        parts += [kernel[direction].T, recurrent_kernel[direction].T]
    for direction in range(2):
        parts += [bias[direction], jnp.zeros_like(bias[direction])]
    weights = jnp.concatenate([part.ravel() for part in parts])
    # Rows that only pad the batch have no steps, which not every version of cuDNN accepts.
    steps = jnp.maximum(lengths, 1).astype(jnp.int32)

    def run(batched: tuple[jax.Array, jax.Array], shared: tuple[jax.Array]) -> jax.Array:
        (x, steps), (weights,) = batched, shared
        start = jnp.zeros((2, len(x), width), x.dtype)
        y, _, _ = rnn.lstm(x, start, start, weights, steps, inputs, width, 1, 0.0, True)
        return y

    return devices.on_each(run, (x, steps), (weights,))
