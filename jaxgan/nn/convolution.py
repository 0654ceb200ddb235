"""Two-dimensional convolutions followed by a LeakyReLU.

XLA compiles a convolution with few channels to slow code on a CPU: it reaches a third of the
machine's arithmetic in the forward pass, and less in the backward pass. The discriminators of
MetricGAN+ consist of such convolutions, so on a CPU a kernel in C++ replaces XLA's (see
`jaxgan/nn/cpu/tile_convolution.py`). Every other platform computes
`jax.lax.conv_general_dilated`, its bias and the LeakyReLU, and nothing else.

The platform is the one that a program is compiled for, not the one that traces it.
"""

import functools

import jax
import jax.numpy as jnp

from jaxgan.nn.cpu import tile_convolution


def leaky_convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    slope: float,
    rows: jax.Array | None = None,
) -> jax.Array:
    """Returns leaky_relu(conv(x, kernel) + bias), with stride 1 and without padding.

    conv(x, kernel)[b, i, j, o] is the sum over u, v, c of x[b, i + u, j + v, c] kernel[u, v, c, o].

    The function is differentiable in reverse mode, and B may be sharded over devices. The C++
    kernel serves 5x5 kernels of at most 16 channels; its rounding errors are at most about 5e-6 of
    the largest value. In bfloat16 it computes in float32 and rounds the result.

    Args:
        x: [B, H, W, C_in], float32 or bfloat16.
        kernel: [kh, kw, C_in, C_out], same dtype.
        bias: [C_out], same dtype.
        slope: what the LeakyReLU multiplies negative values by, 0 to 1.
        rows: int [B], the number of valid rows in each image, the others being padding; None if
            all rows are valid.

    Returns:
        [B, H - kh + 1, W - kw + 1, C_out]. Values that depend on padding are finite but otherwise
        unspecified, and their gradient must be 0.
    """
    plain = functools.partial(_plain, slope)
    if not tile_convolution.fits(x, kernel) or not tile_convolution.available():
        return plain(x, kernel, bias, rows)
    on_cpu = functools.partial(_on_cpu, slope)
    y: jax.Array = jax.lax.platform_dependent(x, kernel, bias, rows, cpu=on_cpu, default=plain)
    return y


def _plain(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array | None
) -> jax.Array:
    del rows
    sums = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.leaky_relu(sums + bias, slope)


def _on_cpu(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array | None
) -> jax.Array:
    if rows is None:
        rows = jnp.full(x.shape[:1], x.shape[1])
    valid = rows.astype(jnp.int32) - kernel.shape[0] + 1
    inputs = (array.astype(jnp.float32) for array in (x, kernel, bias))
    return tile_convolution.convolve(slope, *inputs, valid).astype(x.dtype)
