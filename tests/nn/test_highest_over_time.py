import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.convolution import highest_over_time

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


@pytest.mark.parametrize("length", [1, 3, 20])
def test_every_width_matches_loops(length):
    x, kernels = make(7, length, range(1, length + 1))
    for kernel, found in zip(kernels, highest_over_time(x, kernels), strict=True):
        expected = by_loops(x, kernel)
        np.testing.assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max())


def test_gradients_and_gradients_of_gradients_match_the_plain_sum():
    x, (kernel,) = make(10, 12, (5,))

    def plain(x, kernel):
        windows = jnp.stack([x[:, place : place + 5] for place in range(8)])
        return jnp.max(jnp.einsum("pbke,kef->pbf", windows, kernel), axis=0)

    def ours(x, kernel):
        return highest_over_time(x, [kernel])[0]

    def gradients(function):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel)))

        # A gradient penalty is differentiated again.
        def penalty(x, kernel):
            return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

        return *jax.grad(loss, (0, 1))(x, kernel), *jax.grad(penalty, (0, 1))(x, kernel)

    for found, wanted in zip(gradients(ours), gradients(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_bfloat16_is_close_to_float32():
    x, kernels = make(40, 20, (5,))
    (exact,) = highest_over_time(x, kernels)
    (rounded,) = highest_over_time(
        x.astype(jnp.bfloat16), [kernel.astype(jnp.bfloat16) for kernel in kernels]
    )
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype(jnp.float32), exact, atol=0.15)


@pytest.mark.parametrize(("platform", "plain"), [("cpu", False), ("cuda", True), ("tpu", True)])
def test_only_cpus_replace_the_convolution(platform, plain):
    traced = jax.jit(highest_over_time).trace(*make(4, 8, (1, 3)))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.convolution" in text) == plain
    assert ("stablehlo.dot_general" in text) != plain
