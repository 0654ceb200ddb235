import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.test_util import check_grads

from jaxgan.nn import recurrent
from jaxgan.nn.recurrent import (
    BidirectionalLSTM,
    ForwardLSTM,
    advance,
    clip_gradient,
    recur,
    reverse_sequences,
    zero_carry,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_direction(x, kernel, recurrent_kernel, bias):
    """The textbook LSTM, one step and one utterance at a time, in float64: [T, in] -> [T, H]."""
    width = recurrent_kernel.shape[0]
    hidden, cell, outputs = np.zeros(width), np.zeros(width), []
    for step in x:
        i, f, g, o = np.split(step @ kernel + hidden @ recurrent_kernel + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.array(outputs)


def both_directions(x, params):
    forward, backward = (
        [np.asarray(params[name][side], np.float64) for name in params] for side in (0, 1)
    )
    return np.concatenate(
        [one_direction(x, *forward), one_direction(x[::-1], *backward)[::-1]], axis=-1
    )


@pytest.fixture(name="layer")
def small_layer():
    layer = BidirectionalLSTM(width=5)
    x = jax.random.normal(jax.random.key(0), (3, 7, 4))
    lengths = jnp.array([7, 4, 1])
    variables = layer.init(jax.random.key(1), x, lengths)
    # Larger than the initial values, so that no gate is in its linear range.
    params = jax.tree.map(lambda p: p + 0.5, variables["params"])
    return (
        layer,
        {name: params[name] for name in ("kernel", "recurrent_kernel", "bias")},
        x,
        lengths,
    )


def test_equals_the_textbook_recurrence_at_every_length(layer):
    module, params, x, lengths = layer
    y = module.apply({"params": params}, x, lengths)
    assert y.shape == (3, 7, 10)
    for row, length in enumerate(lengths.tolist()):
        expected = both_directions(np.asarray(x[row, :length], np.float64), params)
        np.testing.assert_allclose(y[row, :length], expected, atol=2e-6)


def test_the_forward_layer_equals_the_textbook_recurrence_in_one_piece_or_several():
    layer = ForwardLSTM(width=5)
    x = jax.random.normal(jax.random.key(0), (3, 7, 4))
    start = zero_carry(1, 3, 5)
    params = layer.init(jax.random.key(1), x, start)["params"]
    params = jax.tree.map(lambda p: p + 0.5, params)
    y, end = layer.apply({"params": params}, x, start)
    arrays = [np.asarray(params[k][0]) for k in ("kernel", "recurrent_kernel", "bias")]
    for row in range(3):
        expected = one_direction(np.asarray(x[row], np.float64), *arrays)
        np.testing.assert_allclose(y[row], expected, atol=2e-6)
    carry, pieces = start, []
    for piece in (x[:, :3], x[:, 3:4], x[:, 4:]):
        made, carry = layer.apply({"params": params}, piece, carry)
        pieces.append(made)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), y, atol=1e-6)
    for part, whole in zip(carry, end, strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-6)


def test_unrolling_changes_nothing(layer, monkeypatch):
    module, params, x, lengths = layer

    def values():
        def total(params, x):
            y = module.apply({"params": params}, x, lengths)
            return jnp.sum(jnp.sin(jnp.arange(y.size)).reshape(y.shape) * y)

        return jax.jit(jax.value_and_grad(total, (0, 1)))(params, x)

    expected = values()
    monkeypatch.setitem(recurrent.UNROLL, "default", 3)
    for one, other in zip(jax.tree.leaves(values()), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing(layer):
    module, params, x, lengths = layer
    y = module.apply({"params": params}, x, lengths)
    noise = 100 * jax.random.normal(jax.random.key(2), (3, 12, 4))
    longer = noise.at[:, :7].set(x)
    for row, length in enumerate(lengths.tolist()):
        longer = longer.at[row, length:7].set(noise[row, length:7])
    z = module.apply({"params": params}, longer, lengths)
    for row, length in enumerate(lengths.tolist()):
        np.testing.assert_allclose(z[row, :length], y[row, :length], atol=1e-6)


def test_gradients_equal_float64_finite_differences(layer):
    module, params, x, lengths = layer
    target = np.asarray(jax.random.normal(jax.random.key(3), (3, 7, 10)), np.float64)

    def loss(params, x):
        y = module.apply({"params": params}, x, lengths)
        mask = (jnp.arange(7) < lengths[:, None])[..., None]
        return jnp.sum(jnp.where(mask, y * target.astype(np.float32), 0))

    def loss64(params, x):
        return sum(
            np.sum(both_directions(x[row, :length], params) * target[row, :length])
            for row, length in enumerate(lengths.tolist())
        )

    gradients, x_gradient = jax.grad(loss, argnums=(0, 1))(params, x)
    arrays = {name: np.asarray(value, np.float64) for name, value in params.items()}
    inputs = np.asarray(x, np.float64)
    step = 1e-5
    random = np.random.default_rng(0)
    for name, array in (*arrays.items(), ("x", inputs)):
        gradient = x_gradient if name == "x" else gradients[name]
        for _ in range(12):
            place = tuple(random.integers(size) for size in array.shape)
            kept = array[place]
            array[place] = kept + step
            above = loss64(arrays, inputs)
            array[place] = kept - step
            below = loss64(arrays, inputs)
            array[place] = kept
            assert gradient[place] == pytest.approx((above - below) / (2 * step), abs=2e-5), name


def test_gradient_equals_that_of_plain_autodiff():
    def plain(inputs, kernel, start):
        def step(carry, x):
            hidden, cell = carry
            gates = x + jnp.einsum("dbh,dhg->dbg", hidden, kernel)
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        end, hiddens = jax.lax.scan(step, start, inputs)
        return hiddens, end

    def loss(apply):
        def weighted(*arguments):
            hiddens, (hidden, cell) = apply(*arguments)
            ends = jnp.sum(hidden * weights[0]) + jnp.sum(cell * weights[1])
            return jnp.sum(hiddens * weights) + ends

        return weighted

    inputs = jax.random.normal(jax.random.key(0), (9, 2, 3, 16))
    kernel = jax.random.normal(jax.random.key(1), (2, 4, 16)) / 2
    weights = jax.random.normal(jax.random.key(2), (9, 2, 3, 4))
    start = tuple(jax.random.normal(jax.random.key(seed), (2, 3, 4)) for seed in (3, 4))
    ours = jax.grad(loss(recur), (0, 1, 2))(inputs, kernel, start)
    theirs = jax.grad(loss(plain), (0, 1, 2))(inputs, kernel, start)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_reversing_twice_restores_the_input_and_keeps_padding():
    x = jnp.arange(24.0).reshape(2, 6, 2)
    lengths = jnp.array([6, 2])
    reversed_once = reverse_sequences(x, lengths)
    np.testing.assert_array_equal(reversed_once[0], x[0, ::-1])
    np.testing.assert_array_equal(reversed_once[1, :2], x[1, 1::-1])
    np.testing.assert_array_equal(reversed_once[1, 2:], x[1, 2:])
    np.testing.assert_array_equal(reverse_sequences(reversed_once, lengths), x)


def test_initial_values_are_those_of_keras():
    layer = BidirectionalLSTM(width=6)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 2, 3)), jnp.array([2]))["params"]
    np.testing.assert_array_equal(params["bias"][:, 6:12], 1)
    np.testing.assert_array_equal(params["bias"][:, :6], 0)
    for kernel in params["recurrent_kernel"]:
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_every_device_computes_its_own_rows(causal):
    devices = jax.devices()
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (2 * len(devices), 10, 4))
    lengths = jnp.arange(2 * len(devices)) % 11
    layer = ForwardLSTM(width=6) if causal else BidirectionalLSTM(width=6)
    second = zero_carry(1, len(x), 6) if causal else lengths
    variables = layer.init(keys[1], x, second)

    @jax.jit
    def gradient(variables, x, lengths):
        valid = (jnp.arange(10) < lengths[:, None])[..., None]

        def loss(x):
            y = (
                layer.apply(variables, x, second)[0]
                if causal
                else layer.apply(variables, x, lengths)
            )
            return jnp.sum(valid * y**2)

        return jax.grad(loss)(x)

    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, jax.P("data"))
    with jax.set_mesh(mesh):
        placed = jax.device_put((x, lengths), sharding)
        compiled = gradient.lower(variables, *placed).compile()
        assert "all-gather" not in compiled.as_text()
        sharded = compiled(variables, *placed)
    assert sharded.sharding.is_equivalent_to(sharding, x.ndim)
    np.testing.assert_allclose(sharded, gradient(variables, x, lengths), atol=1e-5)


def scalar_of(start, inputs, kernel, bound, weights):
    """A loss of all results of `recur`."""
    hiddens, (hidden, cell) = recur(inputs, kernel, start, bound)
    return jnp.sum(hiddens * weights) + jnp.sum(jnp.sin(hidden)) + 2 * jnp.sum(cell)


def state_and_inputs():
    keys = jax.random.split(jax.random.key(5), 5)
    start = tuple(jax.random.normal(key, (1, 2, 3)) for key in keys[:2])
    inputs = jax.random.normal(keys[2], (4, 1, 2, 12))
    kernel = jax.random.normal(keys[3], (1, 3, 12)) / 2
    return start, inputs, kernel, 3 * jax.random.normal(keys[4], (4, 1, 2, 3))


def test_two_parts_of_a_recurrence_equal_the_whole():
    start, inputs, kernel, _ = state_and_inputs()
    whole, end = recur(inputs, kernel, start)
    first, middle = recur(inputs[:3], kernel, start)
    second, last = recur(inputs[3:], kernel, middle)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, atol=1e-6)
    for one, other in zip(last, end, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_below_the_bound_gradients_equal_finite_differences():
    arguments = state_and_inputs()
    with jax.enable_x64(True):
        start, inputs, kernel, weights = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), arguments
        )
        check_grads(
            lambda *leaves: scalar_of(leaves[:2], *leaves[2:], 1e3, weights),
            (*start, inputs, kernel),
            order=1,
            modes=["rev"],
            atol=1e-6,
            rtol=1e-6,
        )


def gate_by_gate(start, inputs, kernel, bound, weights):
    """The clipped derivatives by a plain loop backwards, one row and one unit at a time."""
    start, inputs, kernel, weights = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), (start, inputs, kernel, weights)
    )
    steps, _, rows, _ = inputs.shape
    width, u = kernel.shape[1], kernel[0]
    d_inputs, d_kernel = np.zeros_like(inputs), np.zeros_like(kernel)
    d_start = np.zeros((2, rows, width))
    for row in range(rows):
        hidden, cell, trace = start[0][0, row], start[1][0, row], []
        for t in range(steps):
            i, f, g, o = np.split(inputs[t, 0, row] + hidden @ u, 4)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            trace.append((hidden, cell, i, f, g, o))
            cell = f * cell + i * g
            hidden = o * np.tanh(cell)
        d_hidden, d_cell = np.cos(hidden), np.full(width, 2.0)
        for t in reversed(range(steps)):
            before, before_cell, i, f, g, o = trace[t]
            squashed = np.tanh(f * before_cell + i * g)
            d_hidden = d_hidden + weights[t, 0, row]
            d_cell = d_cell + d_hidden * o * (1 - squashed**2)
            d_gates = np.concatenate(
                [
                    d_cell * g * i * (1 - i),
                    d_cell * before_cell * f * (1 - f),
                    d_cell * i * (1 - g**2),
                    d_hidden * squashed * o * (1 - o),
                ]
            )
            d_gates = np.clip(d_gates, -bound, bound)
            d_inputs[t, 0, row] = d_gates
            d_kernel[0] += np.outer(before, d_gates)
            d_hidden, d_cell = u @ d_gates, d_cell * f
        d_start[:, row] = d_hidden, d_cell
    return d_start, d_inputs, d_kernel


@pytest.mark.parametrize("bound", [0.1, 0.5])
def test_above_the_bound_derivatives_are_clipped_before_they_reach_anything_else(bound):
    start, inputs, kernel, weights = state_and_inputs()
    gradient = jax.grad(scalar_of, argnums=(0, 1, 2))
    d_start, d_inputs, d_kernel = gradient(start, inputs, kernel, bound, weights)
    expected = gate_by_gate(start, inputs, kernel, bound, weights)
    clipped = np.abs(expected[1]) == bound
    assert 0.1 < clipped.mean() < 0.9
    assert np.max(np.abs(gradient(start, inputs, kernel, np.inf, weights)[1])) > 2 * bound
    for one, other in zip((jnp.stack(d_start)[:, 0], d_inputs, d_kernel), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_step_with_clip_gradient_equals_the_recurrence():
    start, inputs, kernel, weights = state_and_inputs()

    def steps(start, inputs, kernel, bound, weights):
        def step(carry, x):
            hidden, cell = carry
            gates = clip_gradient(x + jnp.einsum("dbh,dhg->dbg", hidden, kernel), bound)
            hidden, cell, _ = advance(gates, cell)
            return (hidden, cell), hidden

        (hidden, cell), hiddens = jax.lax.scan(step, start, inputs)
        return jnp.sum(hiddens * weights) + jnp.sum(jnp.sin(hidden)) + 2 * jnp.sum(cell)

    arguments = start, inputs, kernel, 0.3, weights
    ours, theirs = (jax.grad(f, argnums=(0, 1, 2))(*arguments) for f in (scalar_of, steps))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
