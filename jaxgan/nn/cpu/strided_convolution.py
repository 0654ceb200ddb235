"""Convolutions over time that halve or double the length, rewritten with stride 1 for a CPU.

On a CPU, XLA has no fast code for strides in the backward pass, nor for the zeros that a transposed
convolution inserts between its inputs. If two neighbouring samples are viewed as one sample with
twice the channels, both functions become plain convolutions with the same number of
multiplications.
"""

import jax
import jax.numpy as jnp
import numpy as np


def halve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 2 and "SAME" padding.

    Args:
        x: [N, L, C], L even.
        kernel: [K, C, F], K at least 2, same dtype.

    Returns:
        [N, L / 2, F].
    """
    count, length, channels = x.shape
    taps = len(kernel)
    before = (taps - 2) // 2
    steps = (taps + 1) // 2
    pairs = jnp.pad(x, ((0, 0), (before, 2 * steps - 2 - before), (0, 0)))
    pairs = pairs.reshape(count, length // 2 + steps - 1, 2 * channels)
    kernel = jnp.pad(kernel, ((0, 2 * steps - taps), (0, 0), (0, 0)))
    return correlate(pairs, kernel.reshape(steps, 2 * channels, -1))


def double(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves transposed with stride 2 and "SAME" padding, like `jax.lax.conv_transpose`.

    Args:
        x: [N, L, C].
        kernel: [K, C, F], K at least 2, same dtype.

    Returns:
        [N, 2 L, F].
    """
    count, length, channels = x.shape
    taps, _, filters = kernel.shape
    before = (taps + 1) // 2
    # Tap 2 s + before - r multiplies sample i + s of x for sample 2 i + r of the result.
    nearest, farthest = -(before // 2), (taps - before) // 2
    shifts = np.arange(nearest, farthest + 1)
    tap = 2 * shifts[:, None] + before - np.arange(2)
    zeros = jnp.zeros((1, channels, filters), kernel.dtype)
    tap_or_zeros = np.where((tap >= 0) & (tap < taps), tap, taps)
    phases = jnp.concatenate([kernel, zeros])[tap_or_zeros]
    phases = jnp.moveaxis(phases, 1, 2).reshape(len(shifts), channels, 2 * filters)
    padded = jnp.pad(x, ((0, 0), (-nearest, farthest), (0, 0)))
    return correlate(padded, phases).reshape(count, 2 * length, filters)


@jax.custom_vjp
def correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns y[n, i, f], the sum over s, c of x[n, i + s, c] kernel[s, c, f].

    The gradients are convolutions with their axes in the same order. JAX's own gradients order them
    differently, and inside loops XLA then takes ten times as long on a CPU.
    """
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return correlate(x, kernel), (x, kernel)


def _backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    margin = len(kernel) - 1
    padded = jnp.pad(dy, ((0, 0), (margin, margin), (0, 0)))
    dx = correlate(padded, jnp.swapaxes(kernel[::-1], 1, 2))
    dkernel = correlate(jnp.transpose(x, (2, 1, 0)), jnp.swapaxes(dy, 0, 1))
    return dx, jnp.swapaxes(dkernel, 0, 1)


correlate.defvjp(_forward, _backward)
