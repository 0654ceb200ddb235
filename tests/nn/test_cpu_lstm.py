import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

from jaxgan.nn import cpu_lstm
from jaxgan.nn.recurrent import BidirectionalLSTM


def layer_and_inputs(batch, steps, size, width, scale=1.0):
    keys = jax.random.split(jax.random.key(0), 4)
    x = scale * jax.random.normal(keys[0], (batch, steps, size))
    lengths = jax.random.randint(keys[1], (batch,), 0, steps + 1).at[0].set(steps)
    params = BidirectionalLSTM(width).init(keys[2], x, lengths)["params"]
    bias = jax.random.normal(keys[3], params["bias"].shape)  # it would begin with zeros
    return {**params, "bias": bias}, x, lengths


@jax.jit
def value_and_gradients(params, x, lengths):
    width = params["bias"].shape[-1] // 4
    valid = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    weights = jax.random.normal(jax.random.key(2), (*x.shape[:2], 2 * width))

    def total(params, x):
        y = jnp.where(valid, BidirectionalLSTM(width).apply({"params": params}, x, lengths), 0)
        return (y * weights).sum(), y

    (_, y), gradients = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(params, x)
    return y, gradients


def by_the_loop(monkeypatch, *inputs):
    with monkeypatch.context() as patched:
        patched.setattr(cpu_lstm, "serves", lambda x: False)
        # A function of its own: jax keeps what it has traced by function.
        compiled = jax.jit(lambda *a: value_and_gradients.__wrapped__(*a)).lower(*inputs)
        assert "Lstm" not in compiled.as_text()
        return compiled.compile()(*inputs)


def assert_near(found, wanted):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


# Rows are taken four at a time, units sixteen, and panels of the kernel are 4 to 7 vectors wide.
@pytest.mark.parametrize(
    ("batch", "steps", "size", "width"),
    [(1, 9, 3, 1), (3, 1, 6, 37), (6, 12, 7, 96), (8, 33, 8, 200)],
)
def test_numbers_and_gradients_equal_those_of_the_loop(monkeypatch, batch, steps, size, width):
    inputs = layer_and_inputs(batch, steps, size, width)
    assert "LstmBackward" in value_and_gradients.lower(*inputs).as_text()
    assert_near(value_and_gradients(*inputs), by_the_loop(monkeypatch, *inputs))


def test_padding_is_zero_and_has_no_gradient():
    params, x, lengths = layer_and_inputs(5, 12, 3, 7)
    padding = np.asarray(jnp.arange(12) >= lengths[:, None])
    assert padding.any()
    arrays = params["kernel"], params["recurrent_kernel"], params["bias"]

    def total(x):
        y = cpu_lstm.bidirectional(x, lengths, *arrays)
        return y.sum(), y

    gradient, y = jax.grad(total, has_aux=True)(x)
    assert not np.asarray(y)[padding].any()
    assert not np.asarray(gradient)[padding].any()
    plain = cpu_lstm.bidirectional(x, lengths, *arrays)  # without what a gradient needs
    np.testing.assert_array_equal(plain, y)


def test_gates_that_are_shut_and_open(monkeypatch):
    inputs = layer_and_inputs(4, 12, 5, 20, scale=300.0)
    found = value_and_gradients(*inputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert_near(found[0], by_the_loop(monkeypatch, *inputs)[0])


def test_not_a_number_stays_in_its_row():
    params, x, lengths = layer_and_inputs(3, 8, 5, 20)
    arrays = params["kernel"], params["recurrent_kernel"], params["bias"]
    lengths = jnp.full(3, 8)
    y = cpu_lstm.bidirectional(x, lengths, *arrays)
    spoilt = cpu_lstm.bidirectional(x.at[1, 4].set(jnp.nan), lengths, *arrays)
    assert np.isnan(spoilt[1, 4]).all()
    np.testing.assert_array_equal(spoilt[::2], y[::2])


def test_every_device_has_its_own_rows(monkeypatch):
    devices = jax.devices()
    params, x, lengths = layer_and_inputs(2 * len(devices), 10, 4, 20)
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, jax.P("data"))
    with jax.set_mesh(mesh):
        placed = jax.device_put((x, lengths), sharding)
        compiled = value_and_gradients.lower(params, *placed).compile()
        assert "all-gather" not in compiled.as_text()
        found = compiled(params, *placed)
    assert_near(found, by_the_loop(monkeypatch, params, x, lengths))


def test_other_dtypes_and_unknown_shapes_are_not_served():
    assert not cpu_lstm.serves(jnp.zeros((2, 7, 4), jnp.bfloat16))
    served = []
    shape = jax.export.symbolic_shape("rows, steps, 4")
    jax.eval_shape(
        lambda x: served.append(cpu_lstm.serves(x)), jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    assert served == [False]
