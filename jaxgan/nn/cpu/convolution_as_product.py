"""Convolutions as matrix products, for a CPU.

XLA's own convolutions take 3 to 10 times as long there in the backward pass inside a loop.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import devices


def over_time(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves without padding, as one product of all windows with the kernel.

    Args:
        x: [..., T, E].
        kernel: [K, E, F], K at most T, same dtype.

    Returns:
        [..., T - K + 1, F].
    """
    taps, _, filters = kernel.shape
    return _windows(x, taps) @ kernel.reshape(-1, filters)


def over_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves without padding, as one product for each row of the kernel; B may be sharded.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], same dtype.

    Returns:
        [B, H - kh + 1, W - kw + 1, C_out].
    """

    def on_one_device(images: tuple[jax.Array], shared: tuple[jax.Array]) -> jax.Array:
        # The windows of one image are kw times as large as the image. So the images follow one
        # another, and the backward pass makes the windows again.
        convolve = jax.checkpoint(functools.partial(_over_image, kernel=shared[0]))
        convolved: jax.Array = jax.lax.map(convolve, *images)
        return convolved

    convolved: jax.Array = devices.on_each(on_one_device, (x,), (kernel,))
    return convolved


def halve_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 2 and "SAME" padding, as one product of all windows with the kernel.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], same dtype.

    Returns:
        [B, ceil(H / 2), ceil(W / 2), C_out].
    """
    high, wide, _, filters = kernel.shape
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (high, wide), (2, 2), "SAME")
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return _image_windows(x, (high, wide), 2) @ kernel.reshape(-1, filters)


def double_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves transposed with stride 2 and "SAME" padding, as one product with the kernel.

    A tap of the kernel reaches either the even or the odd rows of the result, and likewise columns.
    So the four kinds of pixels are four convolutions of x with stride 1, which have their windows
    in common.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], kh and kw at least 2, same dtype.

    Returns:
        [B, 2 H, 2 W, C_out], as `jax.lax.conv_transpose` defines it.
    """
    count, rows, columns, _ = x.shape
    filters = kernel.shape[-1]
    phases = _phases(_phases(kernel, 0), 2)  # [rows of a window, 2, columns of it, 2, C_in, C_out]
    high, _, wide, _, *_ = phases.shape
    reach = [(taps + 1) // 2 // 2 for taps in kernel.shape[:2]]
    pads = [(reach[0], high - 1 - reach[0]), (reach[1], wide - 1 - reach[1])]
    windows = _image_windows(jnp.pad(x, ((0, 0), *pads, (0, 0))), (high, wide), 1)
    flat = phases.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4 * filters)
    y = (windows @ flat).reshape(count, rows, columns, 2, 2, filters)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(count, 2 * rows, 2 * columns, filters)


def _image_windows(x: jax.Array, size: tuple[int, int], stride: int) -> jax.Array:
    """Returns all windows of images: [B, H, W, C] -> [B, rows, columns, kh kw C]."""
    # One axis after the other: a fifth of the operations to compile for 5x5.
    for axis, taps in ((2, size[1]), (1, size[0])):
        last = x.shape[axis] - taps + 1
        shifted = [
            jax.lax.slice_in_dim(x, start, start + last, stride, axis) for start in range(taps)
        ]
        x = jnp.concatenate(shifted, axis=-1)
    return x


def _phases(kernel: jax.Array, axis: int) -> jax.Array:
    """Splits an axis of taps in two: [taps] -> [samples in reach, even or odd place].

    Tap 2 s + before - r multiplies sample i + s of x for place 2 i + r of the result.
    """
    taps = kernel.shape[axis]
    before = (taps + 1) // 2
    shifts = np.arange(-(before // 2), (taps - before) // 2 + 1)
    tap = 2 * shifts[:, None] + before - np.arange(2)
    inside = (tap >= 0) & (tap < taps)
    padded = jnp.concatenate([kernel, jnp.zeros_like(jnp.take(kernel, np.array([0]), axis))], axis)
    return jnp.take(padded, np.where(inside, tap, taps), axis)


def _over_image(image: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves an image [H, W, C_in]."""
    high, wide, _, filters = kernel.shape
    windows = _windows(image, wide)
    count = len(image) - high + 1
    products = (
        windows[row : row + count] @ kernel[row].reshape(-1, filters) for row in range(high)
    )
    return functools.reduce(jnp.add, products)


def _windows(x: jax.Array, taps: int) -> jax.Array:
    """Returns all windows of `taps` neighbours: [..., T, E] -> [..., T - taps + 1, taps E]."""
    count = x.shape[-2] - taps + 1
    return jnp.concatenate([x[..., start : start + count, :] for start in range(taps)], axis=-1)
