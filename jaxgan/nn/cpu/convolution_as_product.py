"""Convolutions as matrix products, for a CPU.

XLA's own convolutions take 3 to 10 times as long there in the backward pass inside a loop.
"""

import functools

import jax
import jax.numpy as jnp

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
    rows, columns = ((x.shape[1] - high) // 2 + 1, (x.shape[2] - wide) // 2 + 1)
    windows = [
        x[:, row : row + 2 * rows - 1 : 2, column : column + 2 * columns - 1 : 2]
        for row in range(high)
        for column in range(wide)
    ]
    return jnp.concatenate(windows, axis=-1) @ kernel.reshape(-1, filters)


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
