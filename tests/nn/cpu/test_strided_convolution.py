import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.convolution import double, halve

AXES = ("NWC", "WIO", "NWC")


def plain_halve(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2,), "SAME", dimension_numbers=AXES)


def plain_double(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2,), "SAME", dimension_numbers=AXES)


FUNCTIONS = [(halve, plain_halve), (double, plain_double)]


def arrays(taps, length=16):
    random = np.random.default_rng(taps)
    x, kernel = random.normal(size=(3, length, 2)), random.normal(size=(taps, 2, 5))
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)


def gradients(function):
    return jax.jit(
        jax.grad(lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel))), argnums=(0, 1))
    )


@pytest.mark.parametrize(("function", "plain"), FUNCTIONS)
@pytest.mark.parametrize("taps", [2, 3, 4, 5, 6, 7, 15, 31])
def test_values_and_gradients_are_those_of_the_strided_convolution(function, plain, taps):
    inputs = arrays(taps)
    np.testing.assert_allclose(function(*inputs), plain(*inputs), atol=1e-5)
    for found, wanted in zip(gradients(function)(*inputs), gradients(plain)(*inputs), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_halving_by_hand():
    x = jnp.arange(1.0, 5)[None, :, None]
    kernel = jnp.array([1.0, 10, 100])[:, None, None]
    # One zero follows the input: 1 + 20 + 300, and 3 + 40 + 0.
    np.testing.assert_array_equal(halve(x, kernel)[0, :, 0], [321, 43])


def test_doubling_by_hand():
    x = jnp.array([1.0, 2])[None, :, None]
    kernel = jnp.array([1.0, 10, 100])[:, None, None]
    # Zeros surround and separate the inputs: 0 0 1 0 2 0.
    np.testing.assert_array_equal(double(x, kernel)[0, :, 0], [100, 10, 201, 20])


@pytest.mark.parametrize(("function", "plain"), FUNCTIONS)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_get_the_plain_convolution_and_its_gradient(function, plain, platform):
    def signatures(function):
        traced = gradients(function).trace(*arrays(7))
        lines = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
        operations = (line for line in lines if "stablehlo.convolution" in line)
        # The padding, strides and dilations, and the shapes.
        return sorted(line.split("window", 1)[1] for line in operations)

    assert len(signatures(function)) == 3
    assert signatures(function) == signatures(plain)
