"""Convolutions: two-dimensional ones followed by a LeakyReLU, and strided ones over time.

This is the one module that chooses between XLA's convolutions and the kernels for CPUs in
`jaxgan.nn.cpu`. It chooses by the platform that a program is compiled for, not the one that traces
it. Programs for all other platforms contain only XLA's convolutions.

XLA compiles two-dimensional convolutions with few channels, of which the discriminators of
MetricGAN consist, to slow code for CPUs: it reaches a third of the machine's arithmetic in the
forward pass, and less in the backward pass. Those of MetricGAN+ become a kernel in C++ there
(`tile_convolution`), and larger ones matrix products (`convolution_as_product`). XLA also compiles
the gradients of convolutions over time to slow code there, inside loops especially, so these are
rewritten for CPUs too (`strided_convolution`, `convolution_as_product`). So are the strided ones
of images: in a loop XLA's gradient took 11 times as long for a classifier of two layers, and a step
of DCGAN with 32 channels 12 times.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxgan.nn.cpu import convolution_as_product, strided_convolution, tile_convolution

TIME_AXES = ("NWC", "WIO", "NWC")


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
    the largest value. In bfloat16, CPUs compute in float32 and round the result.

    Args:
        x: [B, H, W, C_in], float32 or bfloat16.
        kernel: [kh, kw, C_in, C_out], same dtype.
        bias: [C_out], same dtype.
        slope: the factor by which the LeakyReLU multiplies negative values, 0 to 1.
        rows: int [B], the number of valid rows in each image, the others being padding; None if
            all rows are valid.

    Returns:
        [B, H - kh + 1, W - kw + 1, C_out]. Values that depend on padding are finite but otherwise
        unspecified, and their gradient must be 0.
    """
    in_cpp = tile_convolution.fits(x, kernel) and tile_convolution.available()
    y: jax.Array = jax.lax.platform_dependent(
        x,
        kernel,
        bias,
        rows,
        cpu=functools.partial(_in_cpp if in_cpp else _as_products, slope),
        default=functools.partial(_plain, slope),
    )
    return y


def halve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves over time with stride 2 and "SAME" padding.

    Args:
        x: [N, L, C], L even.
        kernel: [K, C, F], K at least 2, same dtype.

    Returns:
        [N, L / 2, F].
    """
    y: jax.Array = jax.lax.platform_dependent(
        x, kernel, cpu=strided_convolution.halve, default=_halve
    )
    return y


def double(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves over time, transposed, with stride 2 and "SAME" padding.

    Args:
        x: [N, L, C].
        kernel: [K, C, F], K at least 2, same dtype.

    Returns:
        [N, 2 L, F], as `jax.lax.conv_transpose` defines it.
    """
    y: jax.Array = jax.lax.platform_dependent(
        x, kernel, cpu=strided_convolution.double, default=_double
    )
    return y


def halve_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves images with stride 2 and "SAME" padding.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], same dtype.

    Returns:
        [B, ceil(H / 2), ceil(W / 2), C_out].
    """
    y: jax.Array = jax.lax.platform_dependent(
        x, kernel, cpu=convolution_as_product.halve_images, default=_halve_images
    )
    return y


def double_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves images transposed, with stride 2 and "SAME" padding.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], kh and kw at least 2, same dtype.

    Returns:
        [B, 2 H, 2 W, C_out], as `jax.lax.conv_transpose` defines it.
    """
    y: jax.Array = jax.lax.platform_dependent(
        x, kernel, cpu=convolution_as_product.double_images, default=_double_images
    )
    return y


def highest_over_time(x: jax.Array, kernels: Sequence[jax.Array]) -> list[jax.Array]:
    """Returns, for every kernel, the maximum over time of x convolved with it, without padding.

    Args:
        x: [B, T, E].
        kernels: [K, E, F] each, K at most T, of x's dtype.

    Returns:
        [B, F] for each kernel, in x's dtype.
    """

    def convolve(kernel: jax.Array) -> jax.Array:
        y: jax.Array = jax.lax.platform_dependent(
            x, kernel, cpu=convolution_as_product.over_time, default=_convolve_over_time
        )
        return y

    return [jnp.max(convolve(kernel), axis=1) for kernel in kernels]


def _convolve_over_time(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1,), "VALID", dimension_numbers=TIME_AXES)


def _halve_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _double_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_transpose(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _halve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (2,), "SAME", dimension_numbers=TIME_AXES)


def _double(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_transpose(x, kernel, (2,), "SAME", dimension_numbers=TIME_AXES)


def _plain(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array | None
) -> jax.Array:
    del rows
    sums = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.leaky_relu(sums + bias, slope)


def _as_products(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array | None
) -> jax.Array:
    del rows
    inputs = (array.astype(jnp.float32) for array in (x, kernel))
    sums = convolution_as_product.over_images(*inputs)
    return jax.nn.leaky_relu(sums + bias, slope).astype(x.dtype)


def _in_cpp(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array | None
) -> jax.Array:
    if rows is None:
        rows = jnp.full(x.shape[:1], x.shape[1])
    valid = rows.astype(jnp.int32) - kernel.shape[0] + 1
    inputs = (array.astype(jnp.float32) for array in (x, kernel, bias))
    return tile_convolution.convolve(slope, *inputs, valid).astype(x.dtype)
