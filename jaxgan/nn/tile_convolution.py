"""5x5 convolutions of at most 16 channels and LeakyReLU, in C++ for a CPU.

The algorithm is told in tile_convolution.cc. What is a function of the kernel alone, the transform
to the points, is computed here.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nn import native
from jaxgan.nn.toom_cook import TILE, toom_cook

SOURCE = Path(__file__).with_suffix(".cc")
FUNCTIONS = ("ConvolutionForward", "ConvolutionInputGradient", "ConvolutionKernelGradient")
FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT = FUNCTIONS
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


def _forward(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, wanted: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    y = convolve(slope, x, kernel, bias, wanted)
    return y, (x, kernel, wanted, y)


def _backward(
    slope: float, saved: tuple[jax.Array, ...], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    x, kernel, wanted, y = saved
    return *_gradients(slope, wanted, x, kernel, y, dy), None


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(
    slope: float, wanted: jax.Array, x: jax.Array, kernel: jax.Array, y: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of sum(y dy), in x, kernel and bias."""
    # Two calls, since XLA leaves out the one whose result nobody asks for: a step moves D, whose
    # images need no gradient, or G, and then the kernel needs none.
    *_, channels_in, channels_out = kernel.shape
    points, transpose = jax.vjp(_to_points, kernel)
    transposed = _pad(points.swapaxes(1, 2))
    (dx,) = _call(INPUT_GRADIENT, slope, [x.shape[1:]], (dy, y, wanted), (transposed,))

    shapes = [(TILE * TILE, channels_in, CHANNELS), (channels_out,)]
    dmatrices, dbias = _call(KERNEL_GRADIENT, slope, shapes, (x, dy, y, wanted))
    (dkernel,) = transpose(dmatrices.sum(0)[..., :channels_out])
    return dx, dkernel, dbias.sum(0)


@_gradients.defjvp
def _gradients_of_gradients(
    slope: float, primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """By XLA's convolution: nothing here is in haste for them."""

    def plain(
        x: jax.Array, kernel: jax.Array, y: jax.Array, dy: jax.Array
    ) -> tuple[jax.Array, ...]:
        dsums = jnp.where(y < 0, slope * dy, dy)
        return *jax.vjp(_plain, x, kernel)[1](dsums), dsums.sum((0, 1, 2))

    return _gradients(slope, *primals), jax.jvp(plain, primals[1:], tangents[1:])[1]


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


convolve.defvjp(_forward, _backward)


def _to_points(kernel: jax.Array) -> jax.Array:
    """[5, 5, C_in, C_out] -> [64, C_in, C_out], transformed along both axes."""
    g = jnp.asarray(toom_cook(TAPS)[1], kernel.dtype)
    points = jnp.einsum("pu,qv,uvio->pqio", g, g, kernel, precision="highest")
    return points.reshape(TILE * TILE, *kernel.shape[2:])


def _pad(matrices: jax.Array) -> jax.Array:
    return jnp.pad(matrices, ((0, 0), (0, 0), (0, CHANNELS - matrices.shape[2])))


def _call(
    function: str,
    slope: float,
    shapes: Sequence[tuple[int, ...]],
    of_images: tuple[jax.Array, ...],
    shared: tuple[jax.Array, ...] = (),
) -> Sequence[jax.Array]:
    """The C++ function of arrays [B, ...] and of others: float32 results [B, *shape].

    XLA does not divide a function that it does not know: under a mesh (`jax.set_mesh`) every device
    calls it with its own images.
    """

    def call(of_images: tuple[jax.Array, ...], shared: tuple[jax.Array, ...]) -> Any:
        batch = len(of_images[0])
        results = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]
        native_call = jax.ffi.ffi_call(function, results, vmap_method="sequential")
        return native_call(*of_images, *shared, slope=np.float32(slope))

    mesh = jax.sharding.get_abstract_mesh()
    devices = math.prod(mesh.shape[axis] for axis in mesh.auto_axes)
    if devices > 1 and len(of_images[0]) % devices == 0:
        batch = jax.P(mesh.auto_axes)
        axes = frozenset(mesh.auto_axes)
        call = jax.shard_map(
            call, in_specs=(batch, jax.P()), out_specs=batch, axis_names=axes, check_vma=False
        )
    return call(of_images, shared)
