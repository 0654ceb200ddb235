"""Two-dimensional convolutions without padding and LeakyReLU, fast on a CPU in float32.

XLA compiles a convolution with few channels to slow code on a CPU. For kernels of 5x5 and at most
16 channels, as MetricGAN+ has them, `tile_convolution` computes it in C++ there.
"""

import jax
import jax.numpy as jnp

from jaxgan.nn import tile_convolution


def leaky_convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    slope: float,
    rows: jax.Array | None = None,
) -> jax.Array:
    """leaky(bias[o] + sum over u, v, c of x[b, i + u, j + v, c] kernel[u, v, c, o]).

    Differentiable in reverse mode; B may be sharded over devices. Rounding errors on a CPU are at
    most about 5e-6 of the largest value.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], same dtype.
        bias: [C_out], same dtype.
        slope: of the LeakyReLU, 0 to 1: what negative sums are multiplied by.
        rows: int [B], rows of every image that count, the others being padding; None: all.

    Returns:
        [B, H - kh + 1, W - kw + 1, C_out]: stride 1, no padding. Where a row of padding was read
        the result is finite and without meaning; it must have no gradient.
    """
    if jax.default_backend() == "cpu" and x.dtype == jnp.bfloat16:
        # Few CPUs multiply bfloat16 fast; in float32 the products are exact.
        wide, wide_kernel, wide_bias = (a.astype(jnp.float32) for a in (x, kernel, bias))
        return leaky_convolution(wide, wide_kernel, wide_bias, slope, rows).astype(x.dtype)
    if jax.default_backend() == "cpu":
        counts = jnp.full(x.shape[:1], x.shape[1]) if rows is None else rows
        wanted = counts.astype(jnp.int32) - kernel.shape[0] + 1
        if tile_convolution.serves(x, kernel):
            return tile_convolution.convolve(slope, x, kernel, bias, wanted)
    sums = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.leaky_relu(sums + bias, slope)
