import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

from jaxgan.nn.convolution import double_images, halve_images, leaky_convolution
from jaxgan.nn.cpu import native, tile_convolution

SLOPE = 0.3

SHAPES = [
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
OTHER_SHAPES = [
    (2, 23, 31, 7, 7, 15, 25),
    (2, 30, 41, 5, 5, 2, 17),
    (2, 17, 19, 3, 4, 4, 2),
    (2, 30, 40, 1, 1, 2, 3),
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
    # Closer to 0 than this, rounding decides which side of the LeakyReLU's corner a sum is on.
    dy[np.abs(sums(x, kernel, bias)) < 1e-4] = 0
    return x, kernel, bias, dy


def convolve(x, kernel, bias, rows=None):
    return leaky_convolution(x, kernel, bias, SLOPE, rows)


def sums(x, kernel, bias):
    """The LeakyReLU's argument, by definition in float64."""
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


def plain_value_and_gradients(x, kernel, bias, dy):
    def plain(x, kernel, bias):
        dimensions = ("NHWC", "HWIO", "NHWC")
        sums = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=dimensions
        )
        return jax.nn.leaky_relu(sums + bias, SLOPE)

    y, vjp = jax.vjp(plain, x, kernel, bias)
    return y, *vjp(dy)


def assert_near(found, wanted, tolerance=1e-5):
    assert found.shape == wanted.shape
    error = np.abs(np.asarray(found, np.float64) - wanted).max() / np.abs(wanted).max()
    assert error < tolerance


def check_value_and_gradients(shape, seed=0):
    inputs = arrays(shape, seed)
    for found, wanted in zip(value_and_gradients(*inputs), reference(*inputs), strict=True):
        assert_near(found, wanted)


def lowered(function, *inputs, platform="cpu"):
    """The program for a platform, as text."""
    return jax.jit(function).trace(*inputs).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("shape", SHAPES)
def test_cpp_matches_the_definition(shape):
    inputs = arrays(shape)
    text = lowered(value_and_gradients, *inputs)
    assert "ConvolutionForward" in text
    assert "ConvolutionGradients" in text
    assert "stablehlo.convolution" not in text
    check_value_and_gradients(shape)


@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_other_shapes_become_matrix_products(shape):
    text = lowered(value_and_gradients, *arrays(shape))
    assert "custom_call" not in text
    assert "stablehlo.convolution" not in text
    check_value_and_gradients(shape)


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler_matrix_products_are_used():
    text = lowered(value_and_gradients, *arrays(SHAPES[0]))
    assert "custom_call" not in text
    assert "stablehlo.convolution" not in text
    check_value_and_gradients(SHAPES[0])


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_other_platforms_get_the_plain_convolution_and_its_gradient(platform, dtype):
    inputs = [array.astype(dtype) for array in arrays(SHAPES[0])]
    found, wanted = (
        lowered(function, *inputs, platform=platform)
        for function in (value_and_gradients, plain_value_and_gradients)
    )
    assert "ConvolutionForward" not in found

    def signatures(text, name):
        lines = (line for line in text.splitlines() if f"stablehlo.{name}" in line)
        return sorted(line.rsplit(" : ", 1)[1] for line in lines)

    for name in ("convolution", "pad", "slice", "custom_call"):
        assert signatures(found, name) == signatures(wanted, name)


@pytest.mark.parametrize("shape", SHAPES[1:4])
@pytest.mark.parametrize("missing", [0, 1, 4, 8])
def test_padding_rows_change_nothing(shape, missing):
    x, kernel, bias, dy = arrays(shape)
    rows = np.full(shape[0], shape[1] - missing)
    rows[0] = max(rows[0] - 2, shape[3])  # images differ in their rows
    with_padding = x.copy()
    for image, count in enumerate(rows):
        dy[image, count - shape[3] + 1 :] = 0
        with_padding[image, count:] = 3
    y, *gradients = value_and_gradients(with_padding, kernel, bias, dy, rows)
    by_definition = reference(x, kernel, bias, dy)
    for image, count in enumerate(rows):
        valid = slice(count - shape[3] + 1)
        assert_near(y[image, valid], by_definition[0][image, valid])
    assert np.isfinite(y).all()
    for found, expected in zip(gradients, by_definition[1:], strict=True):
        assert_near(found, expected)


def test_padding_is_not_computed():
    x, kernel, bias, dy = arrays((2, 300, 33, 5, 5, 3, 4))
    y, _ = jax.jit(lambda rows: jax.vjp(lambda x: convolve(x, kernel, bias, rows), x))(
        jnp.array([5, 5])
    )
    # The first row is computed along with the rest of its tile; the others are zeros.
    assert_near(y[:, :1], reference(x, kernel, bias, dy)[0][:, :1])
    assert not np.asarray(y)[:, 4:].any()


@pytest.mark.parametrize("height", range(20, 25))  # tiles have 4 rows of results
def test_every_height_is_covered_once(height):
    check_value_and_gradients((3, height, 260, 5, 5, 1, 2), seed=height)


@pytest.mark.parametrize("width", range(64, 71))  # a block of tiles ends at 68
def test_every_width_is_covered_once(width):
    check_value_and_gradients((2, 11, width, 5, 5, 3, 2), seed=width)


def test_sums_of_ones_are_nearly_exact():
    x = jnp.ones((1, 20, 30, 15))
    kernel = jnp.ones((5, 5, 15, 15))
    np.testing.assert_allclose(convolve(x, kernel, jnp.zeros(15)), 375.0, rtol=2e-6)
    np.testing.assert_allclose(convolve(x, -kernel, jnp.zeros(15)), -375.0 * SLOPE, rtol=2e-6)


def test_the_rest_of_the_batch_does_not_change_an_image():
    x, kernel, bias, dy = arrays((5, 40, 70, 5, 5, 4, 6))
    y, dx, *_ = value_and_gradients(x, kernel, bias, dy)
    for image in range(5):
        one = slice(image, image + 1)
        y_of_one, dx_of_one, *_ = value_and_gradients(x[one], kernel, bias, dy[one])
        np.testing.assert_array_equal(y_of_one, y[one])
        np.testing.assert_array_equal(dx_of_one, dx[one])


def test_a_gradient_that_is_not_asked_for_is_not_computed():
    x, kernel, bias, dy = arrays(SHAPES[1])

    def loss(x, kernel):
        return (convolve(x, kernel, bias) * dy).sum()

    both, only_x = (jax.jit(jax.grad(loss, argnums)).lower(x, kernel) for argnums in ((0, 1), 0))
    assert "ConvolutionGradients" in both.as_text()
    assert "ConvolutionInputGradient" in only_x.as_text()
    assert "ConvolutionGradients" not in only_x.as_text()
    found = only_x.compile()(x, kernel)
    np.testing.assert_array_equal(found, both.compile()(x, kernel)[0])
    assert_near(found, reference(x, kernel, bias, dy)[1])


def test_vmap():
    x, kernel, bias, _ = arrays((3, 9, 12, 5, 5, 2, 3))
    both = jax.vmap(lambda kernel: convolve(x, kernel, bias))(np.stack([kernel, -kernel]))
    np.testing.assert_array_equal(both[0], convolve(x, kernel, bias))
    np.testing.assert_array_equal(both[1], convolve(x, -kernel, bias))


def test_gradient_inside_scan_and_cond():
    x, kernel, bias, dy = arrays((3, 9, 12, 5, 5, 2, 3))

    def gradients(kernel):
        return jax.grad(lambda kernel: (convolve(x, kernel, bias) * dy).sum())(kernel)

    @jax.jit
    def run(kernel, flag):
        def step(total, sign):
            part = jax.lax.cond(flag, lambda: gradients(sign * kernel), lambda: kernel)
            return total + part, None

        return jax.lax.scan(step, jnp.zeros_like(kernel), jnp.array([1.0, -1.0]))[0]

    wanted = np.asarray(gradients(kernel) + gradients(-kernel))
    assert_near(run(kernel, True), wanted)
    np.testing.assert_array_equal(run(kernel, False), 2 * kernel)


def test_bfloat16_rounds_only_operands_and_results():
    rounded = [jnp.asarray(a, jnp.bfloat16) for a in arrays((2, 30, 40, 5, 5, 2, 3))]
    assert "stablehlo.convolution" not in lowered(convolve, *rounded[:3])
    found = value_and_gradients(*rounded)
    assert {leaf.dtype for leaf in found} == {jnp.dtype("bfloat16")}
    wanted = reference(*(np.asarray(a, np.float32) for a in rounded))
    for one, other in zip(found, wanted, strict=True):
        assert_near(np.asarray(one, np.float32), other, 2**-8)


@pytest.mark.parametrize("shape", [(21, 40, 5, 5, 2, 3), (21, 40, 7, 7, 2, 3)])
def test_the_batch_stays_sharded(shape):
    devices = jax.devices()
    x, kernel, bias, dy = arrays((2 * len(devices), *shape))
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


def test_inside_shard_map():
    devices = jax.devices()
    x, kernel, bias, dy = arrays((2 * len(devices), 9, 12, 5, 5, 2, 3))
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(jax.P("data"), jax.P(), jax.P(), jax.P("data")),
        out_specs=(jax.P("data"), jax.P("data"), jax.P(), jax.P()),
        check_vma=False,
    )
    def run(*inputs):
        y, dx, dkernel, dbias = value_and_gradients(*inputs)
        return y, dx, *jax.lax.psum((dkernel, dbias), "data")

    for found, wanted in zip(
        jax.jit(run)(x, kernel, bias, dy), reference(x, kernel, bias, dy), strict=True
    ):
        assert_near(found, wanted)


@pytest.mark.parametrize("shape", [(1, 16, 20, 5, 5, 2, 2), (2, 10, 9, 3, 4, 2, 3)])
def test_gradient_of_a_gradient(shape):
    x, kernel, bias, dy = arrays(shape)

    def plain(x, kernel, bias):
        return plain_value_and_gradients(x, kernel, bias, dy)[0]

    def penalty(function, k):
        return (jax.grad(lambda x: (function(x, k, bias) ** 2 * dy).sum())(x) ** 2).sum()

    found = jax.grad(lambda k: penalty(convolve, k))(kernel)
    wanted = jax.grad(lambda k: penalty(plain, k))(kernel)
    assert_near(found, np.asarray(wanted))


def test_an_accelerator_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    monkeypatch.setattr(native, "register", lambda *_: pytest.fail("compiles"))
    assert not tile_convolution.available()


def halved(x, kernel):
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=axes)


def doubled(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME")


@pytest.mark.parametrize(("ours", "plain"), [(halve_images, halved), (double_images, doubled)])
@pytest.mark.parametrize(("shape", "size"), [((2, 8, 6, 3), (5, 5)), ((3, 7, 5, 1), (4, 3))])
def test_strided_convolutions_of_images_and_their_gradients_equal_those_of_xla(
    ours, plain, shape, size
):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape).astype(np.float32)
    kernel = random.standard_normal((*size, shape[-1], 4)).astype(np.float32)

    def value_and_gradients(convolve):
        y, pull = jax.vjp(convolve, x, kernel)
        return y, *pull(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))

    found, expected = (
        jax.jit(functools.partial(value_and_gradients, convolve))() for convolve in (ours, plain)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
