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
    return _image_windows(x, (high, wide), 2) @ kernel.reshape(-1, filters)


def double_images(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves transposed with stride 2 and "SAME" padding, as one product with the kernel.

    Args:
        x: [B, H, W, C_in].
        kernel: [kh, kw, C_in, C_out], kh and kw at least 2, same dtype.

    Returns:
        [B, 2 H, 2 W, C_out], as `jax.lax.conv_transpose` defines it.
    """
    count, rows, columns, channels = x.shape
    high, wide, _, filters = kernel.shape
    # What each pixel adds to its surroundings; windows of x would be 1.4 times the arithmetic.
    parts = x.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    of_rows = _overlapping(parts.reshape(count, rows, columns, high, wide * filters), 1)
    return _overlapping(of_rows.reshape(count, 2 * rows, columns, wide, filters), 2)


def _overlapping(parts: jax.Array, axis: int) -> jax.Array:
    """Adds the overlapping parts of neighbours: [..., n, ..., taps, F] -> [..., 2 n, ..., F].

    Tap 2 s + before - r of sample i + s belongs to place 2 i + r of the result.

    Args:
        parts: what each sample adds to the places around it.
        axis: the axis of the samples.
    """
    count, taps = parts.shape[axis], parts.shape[-2]
    before = (taps + 1) // 2
    places = []
    for place in (0, 1):
        terms = []
        for shift in range(-(before // 2), (taps - before) // 2 + 1):
            tap = 2 * shift + before - place
            if 0 <= tap < taps:
                part = parts[..., tap, :]
                pads = [(0, 0)] * part.ndim
                pads[axis] = (max(-shift, 0), max(shift, 0))
                start = max(shift, 0)
                terms.append(
                    jax.lax.slice_in_dim(jnp.pad(part, pads), start, start + count, axis=axis)
                )
        places.append(functools.reduce(jnp.add, terms))
    shape = places[0].shape
    return jnp.stack(places, axis + 1).reshape(*shape[:axis], 2 * count, *shape[axis + 1 :])


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
