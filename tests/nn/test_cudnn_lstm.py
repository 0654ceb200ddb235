import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from jax.sharding import AxisType, NamedSharding

from jaxgan.nn import cudnn_lstm, recurrent
from jaxgan.nn.recurrent import BidirectionalLSTM

WIDTH = 5


def by_definition(x, h, c, weights, lengths, inputs, width, layers, dropout, both):
    """jax's own definition of what its cuDNN call computes from the same flat weights."""
    parts = rnn.unpack_lstm_weights(weights, inputs, width, layers, both)
    return rnn.lstm_ref(x, h, c, *parts, lengths, inputs, width, layers, dropout, both)


@pytest.fixture(name="calls")
def shapes_of_cudnn_calls(monkeypatch):
    """Replaces cuDNN by its definition, and records the shapes of its inputs."""
    calls = []

    def lstm(*arguments):
        calls.append(arguments[0].shape)
        return by_definition(*arguments)

    monkeypatch.setattr(rnn, "lstm", lstm)
    return calls


def layer_and_inputs(batch=3):
    """x, lengths, kernel, recurrent kernel and bias."""
    x = jax.random.normal(jax.random.key(0), (batch, 7, 4))
    lengths = jnp.array([7, 4, 0, 1, 6, 2, 5, 3] * 2)[:batch]
    params = BidirectionalLSTM(WIDTH).init(jax.random.key(1), x, lengths)["params"]
    # Larger than the initial values, so that no gate is in its linear range.
    return x, lengths, *(params[name] + 0.5 for name in ("kernel", "recurrent_kernel", "bias"))


def value_and_gradients(layer, x, lengths, *params):
    valid = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    weights = jax.random.normal(jax.random.key(2), (*x.shape[:2], 2 * WIDTH))

    def masked(x, *params):
        return jnp.where(valid, layer(x, lengths, *params), 0)

    gradients = jax.grad(lambda *a: (masked(*a) * weights).sum(), argnums=(0, 1, 2, 3))(x, *params)
    return masked(x, *params), gradients


def assert_equal(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)


def test_values_and_gradients_equal_those_of_the_loop(calls):
    inputs = layer_and_inputs()
    wanted = value_and_gradients(recurrent.bidirectional, *inputs)
    assert not calls
    assert_equal(value_and_gradients(cudnn_lstm.bidirectional, *inputs), wanted)
    assert calls


def test_every_device_computes_its_own_rows(calls):
    devices = jax.devices()
    x, lengths, *params = layer_and_inputs(2 * len(devices))
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, jax.P("data"))
    wanted = value_and_gradients(recurrent.bidirectional, x, lengths, *params)

    @jax.jit
    def by_cudnn(*inputs):
        return value_and_gradients(cudnn_lstm.bidirectional, *inputs)

    with jax.set_mesh(mesh):
        found = by_cudnn(*jax.device_put((x, lengths), sharding), *params)
    assert set(calls) == {(2, *x.shape[1:])}
    assert_equal(found, wanted)


@pytest.mark.parametrize("cudnn", [True, False])
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_only_programs_for_nvidia_gpus_call_cudnn(monkeypatch, cudnn, platform):
    def recognisable(x, lengths, kernel, recurrent_kernel, bias):
        return jnp.cos(recurrent.bidirectional(x, lengths, kernel, recurrent_kernel, bias))

    monkeypatch.setattr(cudnn_lstm, "available", lambda x: True)
    monkeypatch.setattr(cudnn_lstm, "bidirectional", recognisable)
    layer = BidirectionalLSTM(WIDTH, cudnn=cudnn)
    x, lengths, *_ = layer_and_inputs()
    variables = layer.init(jax.random.key(0), x, lengths)

    @jax.jit
    def gradient(variables):
        return jax.grad(lambda variables: layer.apply(variables, x, lengths).sum())(variables)

    text = gradient.trace(variables).lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.sine" in text) == (cudnn and platform == "cuda")


def test_is_not_available_on_a_cpu():
    assert not cudnn_lstm.available(jnp.zeros((2, 7, 4)))


@pytest.mark.parametrize(
    ("dtype", "platform", "available"),
    [
        (jnp.float32, "cuda 12090", True),
        (jnp.bfloat16, "cuda 12090", False),
        (jnp.float32, "rocm 60300", False),
    ],
)
def test_is_available_in_float32_on_nvidia_gpus(monkeypatch, dtype, platform, available):
    class Device:
        class client:  # noqa: N801
            platform_version = platform

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Device])
    assert cudnn_lstm.available(jnp.zeros((2, 7, 4), dtype)) == available


def test_is_not_available_for_unknown_shapes(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    shape = jax.export.symbolic_shape("rows, steps, 4")
    available = []
    jax.eval_shape(
        lambda x: available.append(cudnn_lstm.available(x)),
        jax.ShapeDtypeStruct(shape, jnp.float32),
    )
    assert available == [False]
