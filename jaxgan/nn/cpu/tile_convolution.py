"""5x5 convolutions of at most 16 channels followed by a LeakyReLU, in C++ for a CPU.

The file tile_convolution.cc describes the algorithm. The transform of the kernel to the points of
the algorithm does not depend on the images, and is computed here.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jaxgan.core import devices
from jaxgan.nn.cpu import native

SOURCE = Path(__file__).with_suffix(".cc")
FUNCTIONS = ("ConvolutionForward", "ConvolutionGradients", "ConvolutionInputGradient")
FORWARD, GRADIENTS, INPUT_GRADIENT = FUNCTIONS
TAPS = 5
CHANNELS = 16
"""Channels that one vector of the C++ code holds."""

KERNEL_TRANSFORM = np.concatenate(
    [
        scale * np.vander(points, TAPS, increasing=True)
        for scale, points in (
            (1, [0]),
            (-2 / 9, [1, -1]),
            (1 / 90, [2, -2]),
            (32 / 45, [0.5, -0.5]),
        )
    ]
    + [np.eye(TAPS)[-1:]]
)
"""float64 [8, 5]: the values of a polynomial at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity from its
coefficients. The scales are those that the transforms in C++ leave out."""


def fits(x: jax.Array, kernel: jax.Array) -> bool:
    """Returns whether the C++ code handles these shapes and dtypes."""
    size = kernel.shape[:2] == (TAPS, TAPS) and max(kernel.shape[2:]) <= CHANNELS
    large_enough = min(x.shape[1:3]) >= TAPS
    return (
        size and large_enough and x.dtype == kernel.dtype and x.dtype in (jnp.float32, jnp.bfloat16)
    )


def available() -> bool:
    """Returns whether the C++ code can run in this process; the first call compiles it.

    It is not compiled in a process whose default device is an accelerator. A program that such a
    process compiles for its CPU uses XLA's convolution.
    """
    return jax.default_backend() == "cpu" and native.register(SOURCE, FUNCTIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def convolve(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: jax.Array
) -> jax.Array:
    """Returns leaky_relu(conv(x, kernel) + bias), with stride 1 and without padding.

    The function is differentiable in reverse mode, and B may be sharded over devices.

    Args:
        slope: the factor by which the LeakyReLU multiplies negative values.
        x: float32 [B, H, W, C_in].
        kernel: float32 [5, 5, C_in, C_out].
        bias: float32 [C_out].
        rows: int32 [B], the number of rows to compute in each result.

    Returns:
        float32 [B, H - 4, W - 4, C_out]. The other rows are finite but otherwise unspecified, and
        their gradient must be 0.
    """
    _, height, width, _ = x.shape
    shape = (height - TAPS + 1, width - TAPS + 1, kernel.shape[3])
    (y,) = _call(FORWARD, slope, [shape], (x, rows), (_pad(_to_points(kernel)), bias))
    return y


def _forward(slope: float, x: Any, kernel: Any, bias: Any, rows: Any) -> tuple[jax.Array, Any]:
    y = convolve(slope, x.value, kernel.value, bias.value, rows.value)
    # The generator's update needs no gradient of D's kernels, and so no copy of x.
    image = x.value if kernel.perturbed or bias.perturbed else None
    return y, (image, kernel.value, rows.value, y)


def _backward(slope: float, residuals: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
    x, kernel, rows, y = residuals
    if isinstance(dy, SymbolicZero):
        return None, None, None, None
    return *_gradients(slope, rows, x, kernel, y, dy), None


convolve.defvjp(_forward, _backward, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(
    slope: float,
    rows: jax.Array,
    x: jax.Array | None,
    kernel: jax.Array,
    y: jax.Array,
    dy: jax.Array,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Returns the gradients of sum(y dy): of x, and of kernel and bias unless x is None."""
    *_, channels_in, channels_out = kernel.shape
    points, transpose = jax.vjp(_to_points, kernel)
    transposed = _pad(points.swapaxes(1, 2))
    image_shape = _image_shape(kernel, y)
    if x is None:
        (dx,) = _call(INPUT_GRADIENT, slope, [image_shape], (dy, y, rows), (transposed,))
        return dx, None, None
    shapes = [image_shape, (len(points), channels_in, CHANNELS), (channels_out,)]
    dx, dmatrices, dbias = _call(GRADIENTS, slope, shapes, (x, dy, y, rows), (transposed,))
    (dkernel,) = transpose(dmatrices.sum(0)[..., :channels_out])
    return dx, dkernel, dbias.sum(0)


@_gradients.defjvp
def _gradients_jvp(
    slope: float, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Uses XLA's convolution, since only a gradient penalty needs this."""

    def plain(x: Any, kernel: jax.Array, y: jax.Array, dy: jax.Array) -> tuple[Any, ...]:
        image = jnp.zeros((len(y), *_image_shape(kernel, y))) if x is None else x
        dsums = jnp.where(y < 0, slope * dy, dy)
        dx, dkernel = jax.vjp(_plain, image, kernel)[1](dsums)
        return (dx, None, None) if x is None else (dx, dkernel, dsums.sum((0, 1, 2)))

    return _gradients(slope, *primals), jax.jvp(plain, primals[1:], tangents[1:])[1]


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _image_shape(kernel: jax.Array, y: jax.Array) -> tuple[int, ...]:
    """Returns the shape [H, W, C_in] of the images whose convolution is y."""
    return (y.shape[1] + TAPS - 1, y.shape[2] + TAPS - 1, kernel.shape[2])


def _to_points(kernel: jax.Array) -> jax.Array:
    """Transforms a kernel along both axes: [5, 5, C_in, C_out] -> [64, C_in, C_out]."""
    transform = jnp.asarray(KERNEL_TRANSFORM, kernel.dtype)
    points = jnp.einsum("pu,qv,uvio->pqio", transform, transform, kernel, precision="highest")
    return points.reshape(-1, *kernel.shape[2:])


def _pad(matrices: jax.Array) -> jax.Array:
    """Pads the last axis with zeros to the length of a vector."""
    return jnp.pad(matrices, ((0, 0), (0, 0), (0, CHANNELS - matrices.shape[2])))


def _call(
    function: str,
    slope: float,
    shapes: Sequence[tuple[int, ...]],
    batched: tuple[jax.Array, ...],
    shared: tuple[jax.Array, ...],
) -> Sequence[jax.Array]:
    """Calls a C++ function on every device with its own images: float32 [B, *shape] each."""
    call = functools.partial(native.call, function, shapes, slope=np.float32(slope))
    return devices.on_each(call, batched, shared)
