import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from jax.sharding import AxisType, NamedSharding

from jaxgan.nn import cudnn_lstm
from jaxgan.nn.recurrent import BidirectionalLSTM

WIDTH = 5


def by_definition(x, h, c, weights, lengths, inputs, width, layers, dropout, both):
    """jax's own definition of what its cuDNN call computes, of the same flat weights."""
    parts = rnn.unpack_lstm_weights(weights, inputs, width, layers, both)
    return rnn.lstm_ref(x, h, c, *parts, lengths, inputs, width, layers, dropout, both)


@pytest.fixture(name="definition")
def on_a_gpu_that_follows_the_definition(monkeypatch):
    calls = []

    def lstm(*arguments):
        calls.append(arguments[0].shape)
        return by_definition(*arguments)

    monkeypatch.setattr(cudnn_lstm, "serves", lambda x: x.dtype == jnp.float32)
    monkeypatch.setattr(rnn, "lstm", lstm)
    return calls


def layer_and_inputs(batch=3):
    x = jax.random.normal(jax.random.key(0), (batch, 7, 4))
    lengths = jnp.array([7, 4, 0, 1, 6, 2, 5, 3] * 2)[:batch]
    params = BidirectionalLSTM(WIDTH).init(jax.random.key(1), x, lengths)["params"]
    # Larger than at the start, so that every gate bends.
    params = jax.tree.map(lambda p: p + 0.5, params)
    return params, x, lengths


@functools.partial(jax.jit, static_argnums=0)
def value_and_gradients(cudnn, params, x, lengths):
    valid = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    weights = jax.random.normal(jax.random.key(2), (*x.shape[:2], 2 * WIDTH))

    def masked(params, x):
        y = BidirectionalLSTM(WIDTH, cudnn=cudnn).apply({"params": params}, x, lengths)
        return jnp.where(valid, y, 0)

    gradients = jax.grad(lambda *a: (masked(*a) * weights).sum(), argnums=(0, 1))(params, x)
    return masked(params, x), gradients


def assert_equal(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)


def test_numbers_and_gradients_equal_those_of_the_loop(definition):
    inputs = layer_and_inputs()
    wanted = value_and_gradients(False, *inputs)
    assert not definition
    assert_equal(value_and_gradients(True, *inputs), wanted)
    assert definition


def test_every_device_has_its_own_rows(definition):
    devices = jax.devices()
    params, x, lengths = layer_and_inputs(2 * len(devices))
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, jax.P("data"))
    wanted = value_and_gradients(False, params, x, lengths)
    with jax.set_mesh(mesh):
        placed = jax.device_put((x, lengths), sharding)
        found = value_and_gradients(True, params, *placed)
    assert set(definition) == {(2, *x.shape[1:])}
    assert_equal(found, wanted)


def test_does_not_serve_a_cpu():
    assert not cudnn_lstm.serves(jnp.zeros((2, 7, 4)))


@pytest.mark.parametrize(
    ("dtype", "platform", "served"),
    [
        (jnp.float32, "cuda 12090", True),
        (jnp.bfloat16, "cuda 12090", False),
        (jnp.float32, "rocm 60300", False),
    ],
)
def test_float32_on_nvidia_gpus_alone(monkeypatch, dtype, platform, served):
    class Device:
        class client:  # noqa: N801
            platform_version = platform

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Device])
    assert cudnn_lstm.serves(jnp.zeros((2, 7, 4), dtype)) == served


def test_does_not_serve_a_program_for_any_shape(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    shape = jax.export.symbolic_shape("rows, steps, 4")
    served = []
    jax.eval_shape(
        lambda x: served.append(cudnn_lstm.serves(x)), jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    assert served == [False]
