"""Convolutions over time that halve or double the length, as convolutions of stride 1.

On a CPU, XLA has fast code neither for strides in the backward pass nor for the gaps that a
transposed convolution puts between its inputs. Two neighbouring samples taken as one with twice the
channels need neither: both functions are plain convolutions with as many multiplications.
"""

import jax
import jax.numpy as jnp
import numpy as np


def halve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution of stride 2 with "SAME" padding.

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
    return _correlate(pairs, kernel.reshape(steps, 2 * channels, -1))


def double(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A transposed convolution of stride 2 with "SAME" padding, as `jax.lax.conv_transpose` has it.

    Args:
        x: [N, L, C].
        kernel: [K, C, F], K at least 2, same dtype.

    Returns:
        [N, 2 L, F].
    """
    count, length, channels = x.shape
    taps, _, filters = kernel.shape
    before = (taps + 1) // 2
    # Sample 2 i + r of the result hears sample i + s of x through tap 2 s + before - r.
    nearest, farthest = -(before // 2), (taps - before) // 2
    shifts = np.arange(nearest, farthest + 1)
    tap = 2 * shifts[:, None] + before - np.arange(2)
    none = jnp.zeros((1, channels, filters), kernel.dtype)
    known = np.where((tap >= 0) & (tap < taps), tap, taps)
    phases = jnp.concatenate([kernel, none])[known]
    phases = jnp.moveaxis(phases, 1, 2).reshape(len(shifts), channels, 2 * filters)
    padded = jnp.pad(x, ((0, 0), (-nearest, farthest), (0, 0)))
    return _correlate(padded, phases).reshape(count, 2 * length, filters)


def _correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """y[n, i, f] = sum over s, c of x[n, i + s, c] kernel[s, c, f]."""
    return _in_order(x, kernel) if jax.default_backend() == "cpu" else _plain(x, kernel)


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )


@jax.custom_vjp
def _in_order(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `_plain`, and its gradients as convolutions with their axes in the same order.

    Where the axes are in another order, as JAX has them, XLA's fast code for a CPU is used outside
    of loops only; inside it takes ten times as long.
    """
    return _plain(x, kernel)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain(x, kernel), (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    around = len(kernel) - 1
    dx = _plain(jnp.pad(dy, ((0, 0), (around, around), (0, 0))), jnp.swapaxes(kernel[::-1], 1, 2))
    dkernel = _plain(jnp.transpose(x, (2, 1, 0)), jnp.swapaxes(dy, 0, 1))
    return dx, jnp.swapaxes(dkernel, 0, 1)


_in_order.defvjp(_forward, _backward)
