"""The stack of LSTMs and its window, against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.sequences.networks.stacked_lstm import StackedLSTM, move_window

TEXT = np.array([[2, 1, 3], [1, 2, 0]], np.int32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_step(gates, cell):
    i, f, g, o = np.split(gates, 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def plain(params, inputs, text, components):
    """The outputs for one row by the paper's equations, in float64; a text without padding."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    layers = sum(name.startswith("bias_") for name in p)
    width = len(p["recurrent_kernel_0"])
    hidden, cells = np.zeros((layers, width)), np.zeros((layers, width))
    characters = np.eye(3)[text - 1]
    position, window, found = np.zeros(components), np.zeros(3), []
    for x in inputs:
        out = p["output_bias"].copy()
        for n in range(layers):
            gates = x @ p[f"input_kernel_{n}"] + p[f"bias_{n}"]
            gates = gates + hidden[n] @ p[f"recurrent_kernel_{n}"]
            if n:
                gates = gates + hidden[n - 1] @ p[f"below_kernel_{n}"]
            if components:
                gates = gates + window @ p[f"window_kernel_{n}"]
            hidden[n], cells[n] = cell_step(gates, cells[n])
            if components and n == 0:
                moves = hidden[0] @ p["position_kernel"] + p["position_bias"]
                alpha, beta, distance = np.split(np.exp(moves), 3)
                position = position + distance
                window = np.zeros(3)
                for u, character in enumerate(characters, 1):
                    weight = sum(alpha * np.exp(-beta * (position - u) ** 2))
                    window = window + weight * character
            out = out + hidden[n] @ p[f"output_kernel_{n}"]
        found.append(out)
    return np.array(found)


def make(components, layers=3):
    network = StackedLSTM(4, layers, 5, components=components, characters=3 if components else 0)
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 2))
    state = network.initial_state(2)
    params = network.init(jax.random.key(1), state, inputs, TEXT)["params"]
    return network, jax.tree.map(lambda leaf: leaf + 0.1, params), inputs, state


def apply(network, params, state, inputs, text):
    return jax.jit(network.apply)({"params": params}, state, inputs, text)


@pytest.mark.parametrize("components", [0, 2])
def test_outputs_equal_the_paper_s_equations(components):
    network, params, inputs, state = make(components)
    _, outputs, _ = apply(network, params, state, inputs, TEXT)
    for row, text in ((0, TEXT[0]), (1, TEXT[1, :2])):
        expected = plain(params, np.asarray(inputs[row], np.float64), text, components)
        np.testing.assert_allclose(outputs[row], expected, atol=5e-6)


@pytest.mark.parametrize("components", [0, 2])
def test_two_chunks_equal_one(components):
    network, params, inputs, state = make(components)
    end, whole, passed = apply(network, params, state, inputs, TEXT)
    state, first, first_passed = apply(network, params, state, inputs[:, :3], TEXT)
    state, second, second_passed = apply(network, params, state, inputs[:, 3:], TEXT)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, atol=1e-6)
    np.testing.assert_array_equal(jnp.concatenate([first_passed, second_passed], 1), passed)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(end), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_padding_of_the_text_changes_nothing():
    network, params, inputs, state = make(2)
    _, outputs, passed = apply(network, params, state, inputs, TEXT)
    longer = np.pad(TEXT, ((0, 0), (0, 4)))
    _, others, others_passed = apply(network, params, state, inputs, longer)
    np.testing.assert_allclose(others, outputs, atol=1e-6)
    np.testing.assert_array_equal(others_passed, passed)


def test_forgetting_clears_only_the_rows_that_start():
    network, params, inputs, state = make(2)
    end, _, _ = apply(network, params, state, inputs, TEXT)
    after = network.forget(end, jnp.array([True, False]))
    for leaf, before in zip(jax.tree.leaves(after), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(leaf[0], 0)
        np.testing.assert_array_equal(leaf[1], before[1])


def test_weights_of_the_window_by_hand_and_when_it_has_passed_the_text():
    characters = jax.nn.one_hot(TEXT - 1, 3)
    alpha, beta = 0.5, 2.0
    moves = np.log([[alpha, beta, 1.25], [alpha, beta, 3.25]])
    position, window, passed = move_window(
        jnp.asarray(moves, jnp.float32), jnp.zeros((2, 1)), characters, TEXT
    )
    np.testing.assert_allclose(position[:, 0], [1.25, 3.25], rtol=1e-6)
    first = alpha * np.exp(-beta * (1.25 - np.arange(1, 4)) ** 2)
    np.testing.assert_allclose(window[0], [first[1], first[0], first[2]], rtol=1e-5)
    second = alpha * np.exp(-beta * (3.25 - np.arange(1, 3)) ** 2)
    np.testing.assert_allclose(window[1], [second[0], second[1], 0], rtol=1e-5)
    # The text of the second row has two characters, and place 3 is the nearest to 3.25.
    np.testing.assert_array_equal(passed, [False, True])
