"""The network of Graves (2013): a stack of LSTMs with skip connections and a window on a text."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nn.recurrent import advance, clip_gradient, forget_bias_one, recur

State = dict[str, Any]
"""What the network remembers of each row: "layers", the hidden states and cells [B, H] of every
layer; with a window also "position" [B, K] and "window" [B, A]."""


class StackedLSTM(nn.Module):
    """Several LSTM layers (Graves 2013, "Generating sequences with recurrent neural networks").

    Every layer reads the input and the layer below it, and the outputs read all layers. With a
    window (section 5.1) the first layer moves K Gaussians along the characters of a text; their
    weighted sum of the characters is an input of the first layer at the next step, and of the other
    layers at the same step. The derivative of a loss with respect to the gates before their
    activations is clipped.

    Unlike the paper's, these cells have no peephole connections (Greff et al. 2017 find no
    difference), and the initial values are Glorot-uniform, orthogonal, and 1 for the forget gates.

    Attributes:
        width: H, hidden units of each layer.
        layers: how many.
        outputs: O, the size of an output.
        clip: bound of the derivatives with respect to the gates; infinity does not clip.
        components: K, Gaussians of the window; 0: there is none.
        characters: A, different characters of the texts that the window reads.
    """

    width: int
    layers: int
    outputs: int
    clip: float = math.inf
    components: int = 0
    characters: int = 0

    @nn.compact
    def __call__(
        self, state: State, inputs: jax.Array, text: jax.Array
    ) -> tuple[State, jax.Array, jax.Array]:
        """Reads inputs, from a state.

        Args:
            state: as `initial_state` returns it.
            inputs: float32 [B, T, D].
            text: int32 [B, U], what the window reads: the numbers of characters from 1, and 0 in
                the padding. Without a window it is not used.

        Returns:
            The state after the inputs, the outputs float32 [B, T, O], and bool [B, T], whether the
            window has passed the end of the text (section 5.3): it weighs the place after the last
            character more than any character. Without a window it never has.
        """
        gates = 4 * self.width
        glorot, zeros = nn.initializers.glorot_uniform(), nn.initializers.zeros
        orthogonal = nn.initializers.orthogonal()
        inputs = jnp.moveaxis(inputs, 1, 0)
        outputs = self.param("output_bias", zeros, (self.outputs,))
        window, passed = None, jnp.zeros(inputs.shape[:2], bool)
        after: State = {"layers": []}
        below = None
        for number, (hidden, cell) in enumerate(state["layers"]):

            def kernel(name: str, size: int, number: int = number) -> jax.Array:
                found: jax.Array = self.param(f"{name}_{number}", glorot, (size, gates))
                return found

            x = inputs @ kernel("input_kernel", inputs.shape[-1])
            x = x + self.param(f"bias_{number}", forget_bias_one, (gates,), jnp.float32)
            recurrent = self.param(
                f"recurrent_kernel_{number}", orthogonal, (self.width, gates), jnp.float32
            )
            if below is not None:
                x = x + below @ kernel("below_kernel", self.width)
            if self.components:
                window_kernel = kernel("window_kernel", self.characters)
            if self.components and number == 0:
                start = hidden, cell, state["position"], state["window"]
                end, (below, window, passed) = self._run_with_window(
                    start, x, recurrent, window_kernel, text
                )
                *end_of_layer, after["position"], after["window"] = end
                after["layers"].append(tuple(end_of_layer))
            else:
                if window is not None:
                    x = x + window @ window_kernel
                start_of_layer = hidden[None], cell[None]
                hiddens, (hidden, cell) = recur(
                    x[:, None], recurrent[None], start_of_layer, self.clip
                )
                below = hiddens[:, 0]
                after["layers"].append((hidden[0], cell[0]))
            of_output = self.param(f"output_kernel_{number}", glorot, (self.width, self.outputs))
            outputs = outputs + below @ of_output
        after["layers"] = tuple(after["layers"])
        return after, jnp.moveaxis(outputs, 0, 1), jnp.moveaxis(passed, 0, 1)

    def _run_with_window(
        self,
        start: tuple[jax.Array, ...],
        gates: jax.Array,
        recurrent: jax.Array,
        window_kernel: jax.Array,
        text: jax.Array,
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        """Runs the first layer, which moves the window and reads it at the next step.

        Args:
            start: hidden state, cell, position and window.
            gates: [T, B, 4 H], without what the layer itself and the window add.
            recurrent: [H, 4 H].
            window_kernel: [A, 4 H].
            text: as in a call.

        Returns:
            The last of what `start` holds, and hidden states [T, B, H], windows [T, B, A] and
            whether they have passed the end, bool [T, B].
        """
        glorot = nn.initializers.glorot_uniform()
        kernel = self.param("position_kernel", glorot, (self.width, 3 * self.components))
        bias = self.param("position_bias", first_position, (3 * self.components,))
        characters = jax.nn.one_hot(text - 1, self.characters)

        def step(carry: tuple[jax.Array, ...], x: jax.Array) -> tuple[Any, Any]:
            hidden, cell, position, window = carry
            x = clip_gradient(x + hidden @ recurrent + window @ window_kernel, self.clip)
            hidden, cell, _ = advance(x, cell)
            moves = hidden @ kernel + bias
            position, window, passed = move_window(moves, position, characters, text)
            return (hidden, cell, position, window), (hidden, window, passed)

        return jax.lax.scan(step, start, gates)

    def initial_state(self, rows: int) -> State:
        """Returns the state of rows that have read nothing: zeros."""
        zero = jnp.zeros((rows, self.width))
        state: State = {"layers": tuple((zero, zero) for _ in range(self.layers))}
        if self.components:
            state["position"] = jnp.zeros((rows, self.components))
            state["window"] = jnp.zeros((rows, self.characters))
        return state

    def forget(self, state: State, starts: jax.typing.ArrayLike) -> State:
        """Returns the state, zeros in the rows that start a sequence, bool [B]."""
        rows = jnp.asarray(starts)[:, None]
        found: State = jax.tree.map(lambda leaf: jnp.where(rows, 0, leaf), state)
        return found


def move_window(
    moves: jax.Array, position: jax.Array, characters: jax.Array, text: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns a soft window after a move, and what it reads (Graves 2013, equations 46 to 51).

    Character u, counted from 1, has the weight sum_k alpha_k exp(-beta_k (position_k - u)^2).

    Args:
        moves: [B, 3 K], the logarithms of alpha, of beta and of how far the position moves.
        position: [B, K], before the move.
        characters: [B, U, A], one-hot, and zeros in the padding.
        text: int32 [B, U], 0 in the padding.

    Returns:
        The position [B, K], the weighted sum of the characters [B, A], and bool [B], whether the
        place after the last character has more weight than any character.
    """
    alpha, beta, distance = jnp.split(jnp.exp(moves), 3, axis=-1)
    position = position + distance
    places = jnp.arange(1, text.shape[1] + 2)
    squares = (position[..., None] - places) ** 2
    weights = jnp.sum(alpha[..., None] * jnp.exp(-beta[..., None] * squares), axis=1)
    length = jnp.sum(text > 0, axis=1)
    highest = jnp.max(jnp.where(places <= length[:, None], weights, 0), axis=1)
    end = jnp.sum(jnp.where(places == length[:, None] + 1, weights, 0), axis=1)
    return position, jnp.einsum("bu,bua->ba", weights[:, :-1], characters), end > highest


def first_position(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns initial biases of a window's moves: it advances by about a twentieth of a character.

    With zeros it would advance by a whole character at every point of the pen and leave the text
    before it has learned anything.
    """
    del key
    components = shape[0] // 3
    return jnp.zeros(shape).at[2 * components :].set(-3.0)
