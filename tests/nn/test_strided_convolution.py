import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.strided_convolution import double, halve

AXES = ("NWC", "WIO", "NWC")


def plainly_halved(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2,), "SAME", dimension_numbers=AXES)


def plainly_doubled(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2,), "SAME", dimension_numbers=AXES)


def arrays(taps, length=16):
    random = np.random.default_rng(taps)
    x, kernel = random.normal(size=(3, length, 2)), random.normal(size=(taps, 2, 5))
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)


@pytest.mark.parametrize(
    ("function", "plain"), [(halve, plainly_halved), (double, plainly_doubled)]
)
@pytest.mark.parametrize("taps", [2, 3, 4, 5, 6, 7, 15, 31])
def test_value_and_gradients_are_those_of_the_strided_convolution(function, plain, taps):
    x, kernel = arrays(taps)

    def gradients(function):
        return jax.grad(lambda *inputs: jnp.sum(jnp.sin(function(*inputs))), (0, 1))(x, kernel)

    np.testing.assert_allclose(function(x, kernel), plain(x, kernel), atol=1e-5)
    for found, expected in zip(gradients(function), gradients(plain), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_halving_by_hand():
    x = jnp.arange(1.0, 5)[None, :, None]
    kernel = jnp.array([1.0, 10, 100])[:, None, None]
    # One zero behind: 1 + 20 + 300, and 3 + 40 + 0.
    np.testing.assert_array_equal(halve(x, kernel)[0, :, 0], [321, 43])


def test_doubling_by_hand():
    x = jnp.array([1.0, 2])[None, :, None]
    kernel = jnp.array([1.0, 10, 100])[:, None, None]
    # Around and between the inputs are zeros: 0 0 1 0 2 0.
    np.testing.assert_array_equal(double(x, kernel)[0, :, 0], [100, 10, 201, 20])


@pytest.mark.parametrize("function", [halve, double])
def test_other_platforms_compute_the_same(function, monkeypatch):
    x, kernel = arrays(7)
    here = jax.vjp(function, x, kernel)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = jax.vjp(function, x, kernel)
    np.testing.assert_allclose(here[0], there[0], atol=1e-5)
    for one, other in zip(here[1](here[0]), there[1](here[0]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
