import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nn.masked import masked_mean, masked_moments

X = jnp.array([[1.0, 2.0, 6.0], [4.0, jnp.nan, jnp.nan]])
MASK = jnp.array([[1, 1, 0], [1, 0, 0]])


def test_mean_of_the_valid_part():
    np.testing.assert_allclose(masked_mean(X, MASK), (1 + 2 + 4) / 3)
    np.testing.assert_allclose(masked_mean(X, MASK, axis=1), [1.5, 4.0])
    assert masked_mean(X, MASK, axis=1, keepdims=True).shape == (2, 1)


def test_moments_of_the_valid_part():
    mean, variance = masked_moments(X, MASK, axis=1)
    np.testing.assert_allclose(mean, [[1.5], [4.0]])
    np.testing.assert_allclose(variance, [[0.25], [0.0]])


def test_nothing_valid_is_zero_with_a_finite_gradient():
    nothing = jnp.zeros_like(MASK)
    assert masked_mean(X, nothing) == 0
    gradient = jax.grad(lambda x: masked_mean(x**2, nothing))(jnp.ones_like(X))
    np.testing.assert_array_equal(gradient, 0)


def test_invalid_elements_have_no_gradient():
    gradient = jax.grad(lambda x: masked_mean(x, MASK))(X)
    np.testing.assert_allclose(gradient, np.asarray(MASK) / 3)


def test_bfloat16_is_averaged_in_float32():
    x = jnp.ones(1001, jnp.bfloat16).at[0].set(2)
    mean, variance = masked_moments(x, jnp.ones_like(x), axis=0)
    assert mean.dtype == variance.dtype == jnp.float32
    # Neither the count 1001 nor this mean is a bfloat16 number.
    np.testing.assert_allclose(mean, 1002 / 1001, rtol=1e-6)
