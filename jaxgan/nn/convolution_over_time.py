"""Convolutions of short sequences by kernels of many lengths, with few multiplications.

A kernel of w places meets a sequence of T at T - w + 1 places: w (T - w + 1) products with its
matrices, 110 for T = 20 and w = 10. The discrete Fourier transform over T places turns a
correlation into one product a frequency: with real numbers 2 T = 40, whatever w is. T - w + 1 of
the T places of a cyclic correlation are those of the plain one; the others are not computed. Both
transforms are products with a matrix of T columns, small beside the ones above, and as the
transform is orthogonal the rounding errors are those of the plain sum.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

ROWS = {"cpu": 64}
"""Sequences that are computed together: as many as a CPU's cache holds; on accelerators all."""


def highest_over_time(x: jax.Array, kernels: Sequence[jax.Array]) -> list[jax.Array]:
    """max over p of sum over k, e of x[b, p + k, e] kernel[k, e, f], for every kernel.

    The cheaper of two ways, by their multiplications. Differentiable in reverse mode, any number of
    times.

    Args:
        x: [B, T, E].
        kernels: [w, E, F] each, w at most T, of x's dtype.

    Returns:
        [B, F] each, in x's dtype.
    """
    batch, length, _ = x.shape
    rows = min(ROWS.get(jax.default_backend(), batch), batch)
    # The transform of a kernel costs as much as a product of w sequences.
    cyclic = [
        2 * length * (batch + width) < batch * width * (length - width + 1)
        for width in (len(kernel) for kernel in kernels)
    ]
    spectra = [
        _of_kernel(kernel, length) if use_spectra else kernel
        for kernel, use_spectra in zip(kernels, cyclic, strict=True)
    ]

    def highest(x: jax.Array) -> list[jax.Array]:
        x = jnp.moveaxis(x, 1, 0)
        spectrum = _of_signal(x) if any(cyclic) else x
        responses = [
            _by_spectra(spectrum, of_kernel, len(kernel)) if use_spectra else _by_patches(x, kernel)
            for kernel, of_kernel, use_spectra in zip(kernels, spectra, cyclic, strict=True)
        ]
        return [jnp.max(response, axis=0) for response in responses]

    if rows == batch:
        return highest(x)
    padded = jnp.pad(x, ((0, -batch % rows), (0, 0), (0, 0)))
    found = jax.lax.map(highest, padded.reshape(-1, rows, *x.shape[1:]))
    return [part.reshape(-1, part.shape[-1])[:batch] for part in found]


def _by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    width, _, filters = kernel.shape
    count = len(x) - width + 1
    patches = [x[start : start + count] for start in range(width)]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, filters)


def _by_spectra(spectrum: jax.Array, of_kernel: jax.Array, width: int) -> jax.Array:
    length = len(spectrum)
    product = jnp.einsum("tbe,tef->tbf", spectrum, of_kernel)
    back = inverse(length)[: length - width + 1]
    return turn(back, product.astype(jnp.float32)).astype(spectrum.dtype)


def _of_kernel(kernel: jax.Array, length: int) -> jax.Array:
    """[w, E, F] -> [T, 2 E, F]: what the two numbers of the signal are multiplied by."""
    width, size, filters = kernel.shape
    forth = kernel_transform(length)[:, :, :width].reshape(-1, width)
    spectrum = turn(forth, kernel.astype(jnp.float32))
    return spectrum.reshape(length, 2 * size, filters).astype(kernel.dtype)


def _of_signal(x: jax.Array) -> jax.Array:
    """[T, B, E] -> [T, B, 2 E]: at every row of the product the two numbers that it multiplies."""
    length, batch, size = x.shape
    parts = turn(signal_transform(length).reshape(-1, length), x.astype(jnp.float32))
    parts = jnp.moveaxis(parts.reshape(length, 2, batch, size), 1, 2)
    return parts.reshape(length, batch, 2 * size).astype(x.dtype)


def _waves(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the T rows: the frequency [T] and whether it is an imaginary part [T]; cosines and sines.

    A real signal's spectrum has T numbers: the real parts at 0..T // 2, and the imaginary parts at
    those between, which are not 0.
    """
    frequency = np.concatenate([np.arange(length // 2 + 1), np.arange(1, (length + 1) // 2)])
    imaginary = np.arange(length) > length // 2
    angle = 2 * np.pi * np.outer(frequency, np.arange(length)) / length
    return frequency, imaginary, np.cos(angle), np.sin(angle)


def signal_transform(length: int) -> np.ndarray:
    """float32 [T, 2, T]: the cosine and the sine sum of a signal, at each of the T rows."""
    _, _, cosine, sine = _waves(length)
    return np.stack([cosine, sine], axis=1).astype(np.float32)


def kernel_transform(length: int) -> np.ndarray:
    """float32 [T, 2, T]: what of a kernel multiplies the signal's cosine and sine sums.

    With X = Xc - i Xs and W alike, X conj(W) = (Xc Wc + Xs Ws) + i (Xc Ws - Xs Wc).
    """
    _, imaginary, cosine, sine = _waves(length)
    real = np.stack([cosine, sine], axis=1)
    return np.where(imaginary[:, None, None], np.stack([sine, -cosine], axis=1), real).astype(
        np.float32
    )


def inverse(length: int) -> np.ndarray:
    """float32 [T, T]: from the T numbers of a spectrum to T places."""
    frequency, imaginary, cosine, sine = _waves(length)
    # Frequencies between stand for their mirror images too.
    times = np.where((frequency == 0) | (2 * frequency == length), 1, 2) / length
    return (np.where(imaginary[:, None], -sine, cosine) * times[:, None]).T.astype(np.float32)


@jax.custom_vjp
def turn(matrix: jax.Array, x: jax.Array) -> jax.Array:
    """matrix [N, M] times x [M, ...], for a constant matrix: [N, ...].

    The gradient is the same product by the transpose. JAX's own has its axes in another order and
    moves the whole array.
    """
    return jnp.tensordot(matrix, x, 1)


def _turn_forward(matrix: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return turn(matrix, x), matrix


def _turn_backward(matrix: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros_like(matrix), turn(matrix.T, gradient)


turn.defvjp(_turn_forward, _turn_backward)
