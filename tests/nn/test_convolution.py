import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

from jaxgan.nn import convolution, native
from jaxgan.nn.convolution import leaky_convolution
from jaxgan.nn.toom_cook import toom_cook

SLOPE = 0.3

TILES = [
    # batch, height, width, kernel height, kernel width, channels in, channels out
    (2, 30, 41, 5, 5, 2, 15),
    (2, 29, 40, 5, 5, 15, 15),
    (1, 61, 33, 5, 5, 3, 4),
    (9, 13, 257, 5, 5, 2, 3),
    (2, 26, 44, 5, 5, 16, 1),
    (1, 8, 150, 5, 5, 1, 16),
    (3, 5, 5, 5, 5, 2, 3),
    (2, 8, 68, 5, 5, 15, 15),  # one whole block of tiles
    (2, 9, 69, 5, 5, 8, 8),
]


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(native, "register", lambda source, functions: False)
    jax.clear_caches()
    yield
    jax.clear_caches()


def arrays(shape, seed=0):
    """x, kernel, bias, and the gradient of the result."""
    batch, height, width, high, wide, channels_in, channels_out = shape
    random = np.random.default_rng(seed)
    x = random.standard_normal((batch, height, width, channels_in))
    kernel = random.standard_normal((high, wide, channels_in, channels_out))
    bias = random.standard_normal(channels_out)
    dy = random.standard_normal((batch, height - high + 1, width - wide + 1, channels_out))
    x, kernel, bias, dy = (a.astype(np.float32) for a in (x, kernel, bias, dy))
    # So close to 0 rounding decides on which side of the LeakyReLU's corner a sum is.
    dy[np.abs(sums(x, kernel, bias)) < 1e-4] = 0
    return x, kernel, bias, dy


def convolve(x, kernel, bias, rows=None):
    return leaky_convolution(x, kernel, bias, SLOPE, rows)


def sums(x, kernel, bias):
    """What the LeakyReLU is applied to, by definition in float64."""
    x, kernel = x.astype(np.float64), kernel.astype(np.float64)
    rows, columns = (x.shape[axis] - kernel.shape[axis - 1] + 1 for axis in (1, 2))
    places = np.ndindex(kernel.shape[:2])
    return bias + sum(x[:, u : u + rows, v : v + columns] @ kernel[u, v] for u, v in places)


def reference(x, kernel, bias, dy):
    """The definition in float64: y, and the gradients of sum(y dy) in x, kernel and bias."""
    total = sums(x, kernel, bias)
    x, kernel, dy = (a.astype(np.float64) for a in (x, kernel, dy))
    rows, columns = dy.shape[1:3]
    dtotal = np.where(total < 0, SLOPE * dy, dy)
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for u, v in np.ndindex(kernel.shape[:2]):
        part = x[:, u : u + rows, v : v + columns]
        dx[:, u : u + rows, v : v + columns] += dtotal @ kernel[u, v].T
        dkernel[u, v] = np.tensordot(part, dtotal, axes=((0, 1, 2), (0, 1, 2)))
    return np.where(total < 0, SLOPE * total, total), dx, dkernel, dtotal.sum((0, 1, 2))


@jax.jit
def value_and_gradients(x, kernel, bias, dy, rows=None):
    y, vjp = jax.vjp(lambda *inputs: convolve(*inputs, rows), x, kernel, bias)
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


def check_value_and_gradients(shape, seed=0):
    inputs = arrays(shape, seed)
    assert not holds_convolution(convolve, *inputs[:3])
    for found, wanted in zip(value_and_gradients(*inputs), reference(*inputs), strict=True):
        assert_near(found, wanted)


def calls_tiles(*inputs):
    return "ConvolutionForward" in jax.jit(convolve).lower(*inputs).as_text()


@pytest.mark.parametrize("shape", TILES)
def test_tiles_are_the_definition(shape):
    assert calls_tiles(*arrays(shape)[:3])
    check_value_and_gradients(shape)


@pytest.mark.parametrize("shape", TILES[1:4])
@pytest.mark.parametrize("missing", [0, 1, 4, 8])
def test_rows_of_padding_change_nothing(shape, missing):
    x, kernel, bias, dy = arrays(shape)
    rows = np.full(shape[0], shape[1] - missing)
    rows[0] = max(rows[0] - 2, shape[3])  # every image has its own
    strange = x.copy()
    for image, count in enumerate(rows):
        dy[image, count - shape[3] + 1 :] = 0
        strange[image, count:] = 3
    y, *gradients = value_and_gradients(strange, kernel, bias, dy, rows)
    by_definition = reference(x, kernel, bias, dy)
    for image, count in enumerate(rows):
        whole = slice(count - shape[3] + 1)
        assert_near(y[image, whole], by_definition[0][image, whole])
    assert np.isfinite(y).all()
    for found, expected in zip(gradients, by_definition[1:], strict=True):
        assert_near(found, expected)


def test_padding_is_not_computed():
    x, kernel, bias, dy = arrays((2, 300, 33, 5, 5, 3, 4))
    of_rows = jax.jit(lambda rows: jax.vjp(lambda x: convolve(x, kernel, bias, rows), x))
    y, _ = of_rows(jnp.array([5, 5]))
    # The first row is computed, and the tile it is in; what lies behind is as it was.
    assert_near(y[:, :1], reference(x, kernel, bias, dy)[0][:, :1])
    assert not np.asarray(y)[:, -4:].any()


@pytest.mark.parametrize("height", range(20, 29))
def test_every_height_is_covered_once(height):
    check_value_and_gradients((3, height, 260, 5, 5, 1, 2), seed=height)


@pytest.mark.parametrize("width", range(64, 71))  # a block of tiles ends at 68
def test_every_width_is_covered_once(width):
    check_value_and_gradients((2, 11, width, 5, 5, 3, 2), seed=width)


def test_small_integers_come_out_nearly_exact():
    x = jnp.ones((1, 20, 30, 15))
    kernel = jnp.ones((5, 5, 15, 15))
    np.testing.assert_allclose(convolve(x, kernel, jnp.zeros(15)), 375.0, rtol=2e-6)
    np.testing.assert_allclose(convolve(x, -kernel, jnp.zeros(15)), -375.0 * SLOPE, rtol=2e-6)


def test_tiles_come_out_the_same_whatever_is_beside_an_image():
    x, kernel, bias, dy = arrays((5, 40, 70, 5, 5, 4, 6))
    y, dx, *_ = value_and_gradients(x, kernel, bias, dy)
    for image in range(5):
        alone = slice(image, image + 1)
        y_alone, dx_alone, *_ = value_and_gradients(x[alone], kernel, bias, dy[alone])
        np.testing.assert_array_equal(y_alone, y[alone])
        np.testing.assert_array_equal(dx_alone, dx[alone])


def test_kernels_that_need_no_gradient_get_none():
    x, kernel, bias, dy = arrays(TILES[1])

    def loss(x, kernel):
        return (convolve(x, kernel, bias) * dy).sum()

    whole, alone = (jax.jit(jax.grad(loss, argnums)).lower(x, kernel) for argnums in ((0, 1), 0))
    assert "ConvolutionGradients" in whole.as_text()
    assert "ConvolutionInputGradient" in alone.as_text()
    assert "ConvolutionGradients" not in alone.as_text()
    found = alone.compile()(x, kernel)
    np.testing.assert_array_equal(found, whole.compile()(x, kernel)[0])
    assert_near(found, reference(x, kernel, bias, dy)[1])


def test_tiles_under_vmap():
    x, kernel, bias, _ = arrays((3, 9, 12, 5, 5, 2, 3))
    several = jax.vmap(lambda kernel: convolve(x, kernel, bias))(np.stack([kernel, -kernel]))
    np.testing.assert_array_equal(several[0], convolve(x, kernel, bias))
    np.testing.assert_array_equal(several[1], convolve(x, -kernel, bias))


@pytest.mark.parametrize(
    "shape",
    [
        (2, 23, 31, 7, 7, 15, 25),
        (2, 30, 41, 5, 5, 2, 17),
        (2, 30, 40, 1, 1, 2, 3),
    ],
)
def test_other_shapes_are_the_plain_convolution(shape):
    *inputs, dy = arrays(shape)
    assert holds_convolution(convolve, *inputs)
    wanted, *_ = reference(*inputs, dy)
    assert_near(convolve(*inputs), wanted)


def test_bfloat16_rounds_operands_and_results_alone():
    exact = arrays((2, 30, 40, 5, 5, 2, 3))
    rounded = [jnp.asarray(a, jnp.bfloat16) for a in exact]
    assert not holds_convolution(convolve, *rounded[:3])
    found = value_and_gradients(*rounded)
    assert {leaf.dtype for leaf in found} == {jnp.dtype("bfloat16")}
    wanted = reference(*(np.asarray(a, np.float32) for a in rounded))
    for one, other in zip(found, wanted, strict=True):
        assert_near(np.asarray(one, np.float32), other, 2**-8)


def test_other_platforms_get_the_plain_convolution(monkeypatch):
    *inputs, _ = arrays(TILES[0])
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    assert holds_convolution(lambda *a: convolve(*a), *inputs)


def test_batch_stays_sharded():
    devices = jax.devices()
    x, kernel, bias, dy = arrays((2 * len(devices), 21, 40, 5, 5, 2, 3))
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, jax.P("data"))
    x_sharded, dy_sharded = jax.device_put((x, dy), sharding)
    with jax.set_mesh(mesh):
        compiled = value_and_gradients.lower(x_sharded, kernel, bias, dy_sharded).compile()
        assert "all-gather" not in compiled.as_text()
        y, *gradients = compiled(x_sharded, kernel, bias, dy_sharded)
    assert y.sharding.is_equivalent_to(sharding, y.ndim)
    for found, wanted in zip((y, *gradients), reference(x, kernel, bias, dy), strict=True):
        assert_near(found, wanted)


@pytest.mark.parametrize("taps", [3, 5])
def test_gradient_of_a_gradient(taps):
    x, kernel, bias, dy = arrays((1, 16, 20, taps, taps, 2, 2))

    def plain(x, kernel, bias):
        sums = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.leaky_relu(sums + bias, SLOPE)

    def penalty(function, k):
        return (jax.grad(lambda x: (function(x, k, bias) ** 2 * dy).sum())(x) ** 2).sum()

    found = jax.grad(lambda k: penalty(convolve, k))(kernel)
    wanted = jax.grad(lambda k: penalty(plain, k))(kernel)
    assert_near(found, np.asarray(wanted))
