import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgan.nn import convolution
from jaxgan.nn.convolution import toom_cook, valid_convolution

SHAPES = [
    # batch, height, width, kernel height, kernel width, channels in, channels out
    (2, 30, 41, 5, 5, 2, 15),
    (2, 29, 40, 5, 5, 15, 15),
    (1, 61, 33, 5, 5, 3, 4),  # several tiles in a slab, an incomplete last one
    (9, 13, 257, 5, 5, 2, 3),
    (2, 23, 31, 7, 7, 15, 25),
    (1, 27, 30, 9, 9, 25, 40),
    (1, 30, 29, 11, 11, 6, 5),
    (2, 17, 19, 3, 4, 4, 2),
    (2, 18, 21, 6, 3, 30, 2),
]


def arrays(shape, seed=0):
    batch, height, width, high, wide, channels_in, channels_out = shape
    random = np.random.default_rng(seed)
    x = random.standard_normal((batch, height, width, channels_in))
    kernel = random.standard_normal((high, wide, channels_in, channels_out))
    dy = random.standard_normal((batch, height - high + 1, width - wide + 1, channels_out))
    return tuple(a.astype(np.float32) for a in (x, kernel, dy))


def reference(x, kernel, dy):
    """The definition in float64: y, and the gradients of sum(y dy) in x and kernel."""
    x, kernel, dy = (a.astype(np.float64) for a in (x, kernel, dy))
    y, dx, dkernel = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    rows, columns = dy.shape[1:3]
    for u in range(kernel.shape[0]):
        for v in range(kernel.shape[1]):
            part = x[:, u : u + rows, v : v + columns]
            y += part @ kernel[u, v]
            dx[:, u : u + rows, v : v + columns] += dy @ kernel[u, v].T
            dkernel[u, v] = np.tensordot(part, dy, axes=((0, 1, 2), (0, 1, 2)))
    return y, dx, dkernel


@jax.jit
def value_and_gradients(x, kernel, dy):
    y, vjp = jax.vjp(valid_convolution, x, kernel)
    return y, *vjp(dy)


def assert_near(found, wanted, tolerance=1e-5):
    assert found.shape == wanted.shape
    error = np.abs(np.asarray(found, np.float64) - wanted).max() / np.abs(wanted).max()
    assert error < tolerance


def holds_convolution(function, *arguments):
    return "stablehlo.convolution" in jax.jit(function).lower(*arguments).as_text()


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_toom_cook_is_the_correlation(taps):
    a, g, b = toom_cook(taps)
    random = np.random.default_rng(taps)
    w, x = random.standard_normal(taps), random.standard_normal(8)
    np.testing.assert_allclose(a @ ((g @ w) * (b @ x)), np.correlate(x, w, "valid"), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_are_those_of_the_definition(shape):
    inputs = arrays(shape)
    assert not holds_convolution(valid_convolution, *inputs[:2])
    for found, wanted in zip(value_and_gradients(*inputs), reference(*inputs), strict=True):
        assert_near(found, wanted)


@pytest.mark.parametrize("shape", SHAPES[2:7])
@pytest.mark.parametrize("missing", [0, 1, 4, 8])
def test_rows_of_padding_change_nothing(shape, missing):
    x, kernel, dy = arrays(shape)
    rows, wanted = shape[1] - missing, dy.shape[1] - missing
    dy[:, wanted:] = 0
    strange = x.copy()
    strange[:, rows:] = 3
    y, vjp = jax.vjp(
        lambda x, kernel: valid_convolution(x, kernel, jnp.array(rows)), strange, kernel
    )
    by_definition = reference(x, kernel, dy)
    assert_near(y[:, :wanted], by_definition[0][:, :wanted])
    assert np.isfinite(y).all()
    for found, expected in zip(vjp(dy), by_definition[1:], strict=True):
        assert_near(found, expected)


def test_slabs_of_padding_are_not_computed():
    x, kernel, dy = arrays((2, 300, 33, 5, 5, 3, 4))
    of_rows = jax.jit(lambda rows: jax.vjp(lambda x: valid_convolution(x, kernel, rows), x))
    y, _ = of_rows(jnp.array(5))
    # The first row is computed, and the slab it is in; what lies behind is as it was.
    assert_near(y[:, :1], reference(x, kernel, dy)[0][:, :1])
    assert (np.asarray(y)[:, -4:] == 1).all()


@pytest.mark.parametrize("height", range(20, 29))
def test_every_height_is_covered_once(height):
    inputs = arrays((3, height, 260, 5, 5, 1, 2), seed=height)
    for found, wanted in zip(value_and_gradients(*inputs), reference(*inputs), strict=True):
        assert_near(found, wanted)


def test_small_integers_come_out_nearly_exact():
    x = jnp.ones((1, 20, 30, 15))
    kernel = jnp.ones((5, 5, 15, 15))
    np.testing.assert_allclose(valid_convolution(x, kernel), 375.0, rtol=2e-6)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 8, 40, 5, 5, 2, 3), jnp.float32),  # too low for a tile
        ((2, 30, 7, 5, 5, 2, 3), jnp.float32),
        ((2, 30, 40, 1, 1, 2, 3), jnp.float32),
        ((2, 30, 40, 5, 5, 2, 3), jnp.bfloat16),
    ],
)
def test_other_shapes_and_dtypes_are_the_plain_convolution(shape, dtype):
    x, kernel, dy = arrays(shape)
    inputs = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    assert holds_convolution(valid_convolution, *inputs)
    found = valid_convolution(*inputs)
    assert found.dtype == dtype
    wanted, _, _ = reference(*(np.asarray(a, np.float32) for a in inputs), dy)
    assert_near(found, wanted, 1e-5 if dtype == jnp.float32 else 1e-2)


def test_other_platforms_get_the_plain_convolution(monkeypatch):
    x, kernel, _ = arrays(SHAPES[0])
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    assert holds_convolution(lambda *a: valid_convolution(*a), x, kernel)


def test_batch_stays_sharded():
    devices = jax.devices()
    x, kernel, dy = arrays((2 * len(devices), 21, 40, 5, 5, 2, 3))
    sharding = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec("data"))
    x_sharded, dy_sharded = jax.device_put((x, dy), sharding)
    compiled = value_and_gradients.lower(x_sharded, kernel, dy_sharded).compile()
    assert "all-gather" not in compiled.as_text()
    y, dx, dkernel = compiled(x_sharded, kernel, dy_sharded)
    assert y.sharding.is_equivalent_to(sharding, y.ndim)
    for found, wanted in zip((y, dx, dkernel), reference(x, kernel, dy), strict=True):
        assert_near(found, wanted)


def test_gradient_of_a_gradient():
    x, kernel, dy = arrays((1, 16, 20, 3, 3, 2, 2))

    def penalty(convolve, k):
        return (jax.grad(lambda x: (convolve(x, k) ** 2 * dy).sum())(x) ** 2).sum()

    found = jax.grad(lambda k: penalty(valid_convolution, k))(kernel)
    wanted = jax.grad(lambda k: penalty(convolution._plain, k))(kernel)
    assert_near(found, np.asarray(wanted))
