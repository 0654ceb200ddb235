import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.convolution_over_time import (
    highest_over_time,
    inverse,
    kernel_transform,
    signal_transform,
    turn,
)

RANDOM = np.random.default_rng(0)


def make(batch, length, widths, size=3, dtype=np.float32):
    x = RANDOM.normal(size=(batch, length, size)).astype(dtype)
    kernels = [RANDOM.normal(size=(w, size, 2 + w % 3)).astype(dtype) for w in widths]
    return jnp.asarray(x), [jnp.asarray(kernel) for kernel in kernels]


def by_loops(x, kernel):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    width = len(kernel)
    windows = [x[:, place : place + width] for place in range(x.shape[1] - width + 1)]
    return np.max([np.einsum("bke,kef->bf", window, kernel) for window in windows], axis=0)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 20, 21])
@pytest.mark.parametrize("batch", [1, 64, 100])
def test_every_width_by_loops(length, batch):
    x, kernels = make(batch, length, range(1, length + 1))
    for kernel, found in zip(kernels, highest_over_time(x, kernels), strict=True):
        expected = by_loops(x, kernel)
        np.testing.assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("length", [7, 8])
def test_one_frequency_at_a_time_is_numpy_s_transform(length):
    signal, kernel = RANDOM.normal(size=(2, length))
    rows = signal_transform(length) @ signal, kernel_transform(length) @ kernel
    product = np.fft.rfft(signal) * np.conj(np.fft.rfft(kernel))
    expected = np.concatenate([product.real, product.imag[1 : (length + 1) // 2]])
    np.testing.assert_allclose(np.sum(rows[0] * rows[1], axis=1), expected, atol=1e-5)
    cyclic = [np.sum(np.roll(signal, -place) * kernel) for place in range(length)]
    np.testing.assert_allclose(inverse(length) @ expected, cyclic, atol=1e-5)


@pytest.mark.parametrize("batch", [40, 100])
def test_gradient_is_the_plain_sum_s(batch):
    x, (kernel,) = make(batch, 12, (5,))

    def plain(x, kernel):
        windows = jnp.stack([x[:, place : place + 5] for place in range(8)])
        return jnp.max(jnp.einsum("pbke,kef->pbf", windows, kernel), axis=0)

    def fast(x, kernel):
        return highest_over_time(x, [kernel])[0]

    def gradients(function):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel)))

        # A penalty on the gradient takes its gradient again.
        def penalty(x, kernel):
            return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

        return *jax.grad(loss, (0, 1))(x, kernel), *jax.grad(penalty, (0, 1))(x, kernel)

    for one, other in zip(gradients(fast), gradients(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_turning_back_is_the_transpose():
    matrix = jnp.asarray(RANDOM.normal(size=(5, 3)), jnp.float32)
    x = jnp.asarray(RANDOM.normal(size=(3, 4)), jnp.float32)
    gradient = jax.grad(lambda x: jnp.sum(turn(matrix, x) ** 2))(x)
    np.testing.assert_allclose(gradient, 2 * matrix.T @ (matrix @ x), rtol=1e-5)


def test_bfloat16_is_about_float32():
    x, kernels = make(40, 20, (5,))
    (exact,) = highest_over_time(x, kernels)
    (rounded,) = highest_over_time(
        x.astype(jnp.bfloat16), [kernel.astype(jnp.bfloat16) for kernel in kernels]
    )
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype(jnp.float32), exact, atol=0.15)
