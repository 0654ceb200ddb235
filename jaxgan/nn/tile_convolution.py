"""5x5 convolutions of at most 16 channels and LeakyReLU, in C++ for a CPU.

The algorithm is told in tile_convolution.cc. What is a function of the kernel alone, the transform
to the points, is computed here.
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
from jaxgan.nn import native
from jaxgan.nn.toom_cook import TILE, toom_cook

SOURCE = Path(__file__).with_suffix(".cc")
FUNCTIONS = ("ConvolutionForward", "ConvolutionGradients", "ConvolutionInputGradient")
FORWARD, GRADIENTS, INPUT_GRADIENT = FUNCTIONS
TAPS = 5
CHANNELS = 16  # of a vector


def serves(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether `convolve` can be called: by dtype and shapes, and because it could be compiled."""
    fits = kernel.shape[:2] == (TAPS, TAPS) and max(kernel.shape[2:]) <= CHANNELS
    large_enough = min(x.shape[1:3]) >= TAPS
    floats = x.dtype == kernel.dtype == jnp.float32
    return fits and large_enough and floats and native.register(SOURCE, FUNCTIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def convolve(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, wanted: jax.Array
) -> jax.Array:
    """leaky(bias[o] + sum over u, v, c of x[b, i + u, j + v, c] kernel[u, v, c, o]).

    Differentiable in reverse mode; B may be sharded over devices.

    Args:
        slope: of the LeakyReLU.
        x: float32 [B, H, W, C_in].
        kernel: float32 [5, 5, C_in, C_out].
        bias: float32 [C_out].
        wanted: int32 [B], rows of every image's result that count.

    Returns:
        float32 [B, H - 4, W - 4, C_out]; rows that do not count are finite and without meaning,
        and must have no gradient.
    """
    _, height, width, _ = x.shape
    shape = (height - TAPS + 1, width - TAPS + 1, kernel.shape[3])
    (y,) = _call(FORWARD, slope, [shape], (x, wanted), (_pad(_to_points(kernel)), bias))
    return y


def _forward(slope: float, x: Any, kernel: Any, bias: Any, wanted: Any) -> tuple[jax.Array, Any]:
    y = convolve(slope, x.value, kernel.value, bias.value, wanted.value)
    # What moves G asks for no gradient of D's kernels, which x is kept for.
    image = x.value if kernel.perturbed or bias.perturbed else None
    return y, (image, kernel.value, wanted.value, y)


def _backward(slope: float, saved: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
    x, kernel, wanted, y = saved
    if isinstance(dy, SymbolicZero):
        return None, None, None, None
    return *_gradients(slope, wanted, x, kernel, y, dy), None


convolve.defvjp(_forward, _backward, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(
    slope: float,
    wanted: jax.Array,
    x: jax.Array | None,
    kernel: jax.Array,
    y: jax.Array,
    dy: jax.Array,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Of sum(y dy), in x, and in kernel and bias where x is given."""
    *_, channels_in, channels_out = kernel.shape
    points, transpose = jax.vjp(_to_points, kernel)
    transposed = _pad(points.swapaxes(1, 2))
    of_x = _input_shape(kernel, y)
    if x is None:
        (dx,) = _call(INPUT_GRADIENT, slope, [of_x], (dy, y, wanted), (transposed,))
        return dx, None, None
    shapes = [of_x, (TILE * TILE, channels_in, CHANNELS), (channels_out,)]
    dx, dmatrices, dbias = _call(GRADIENTS, slope, shapes, (x, dy, y, wanted), (transposed,))
    (dkernel,) = transpose(dmatrices.sum(0)[..., :channels_out])
    return dx, dkernel, dbias.sum(0)


@_gradients.defjvp
def _gradients_of_gradients(
    slope: float, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """By XLA's convolution: nothing here is in haste for them."""

    def plain(x: Any, kernel: jax.Array, y: jax.Array, dy: jax.Array) -> tuple[Any, ...]:
        image = jnp.zeros((len(y), *_input_shape(kernel, y))) if x is None else x
        dsums = jnp.where(y < 0, slope * dy, dy)
        dx, dkernel = jax.vjp(_plain, image, kernel)[1](dsums)
        return (dx, None, None) if x is None else (dx, dkernel, dsums.sum((0, 1, 2)))

    return _gradients(slope, *primals), jax.jvp(plain, primals[1:], tangents[1:])[1]


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _input_shape(kernel: jax.Array, y: jax.Array) -> tuple[int, ...]:
    """[H, W, C_in] of the image."""
    return (y.shape[1] + TAPS - 1, y.shape[2] + TAPS - 1, kernel.shape[2])


def _to_points(kernel: jax.Array) -> jax.Array:
    """[5, 5, C_in, C_out] -> [64, C_in, C_out], transformed along both axes."""
    g = jnp.asarray(_kernel_transform(), kernel.dtype)
    points = jnp.einsum("pu,qv,uvio->pqio", g, g, kernel, precision="highest")
    return points.reshape(TILE * TILE, *kernel.shape[2:])


def _kernel_transform() -> np.ndarray:
    """G [8, 5]: that of `toom_cook` with the scales that A and B have there and not in C++.

    In C++ the columns of A begin with 1 (that of infinity ends with it) and the rows of B end with
    1, the first one with -1, which spares multiplications.
    """
    a, g, b = toom_cook(TAPS)
    of_a = np.append(a[0, :-1], a[-1, -1])
    of_b = np.append(b[:-1, -2], b[-1, -1]) * np.where(np.arange(TILE) == 0, -1, 1)
    return g * (of_a * of_b)[:, None]


def _pad(matrices: jax.Array) -> jax.Array:
    return jnp.pad(matrices, ((0, 0), (0, 0), (0, CHANNELS - matrices.shape[2])))


def _call(
    function: str,
    slope: float,
    shapes: Sequence[tuple[int, ...]],
    of_images: tuple[jax.Array, ...],
    shared: tuple[jax.Array, ...] = (),
) -> Sequence[jax.Array]:
    """The C++ function of arrays [B, ...] and of others: float32 results [B, *shape]."""

    call = functools.partial(native.call, function, shapes, slope=np.float32(slope))
    return devices.on_each(call, of_images, shared)
