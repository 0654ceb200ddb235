"""A language model: an LSTM that gives the probability of each next token.

Sequences are int32 [B, T]. The model reads the token `START` before the first token of a sequence;
it is not part of the sequence. Where sequences differ in length, `START` also ends them: a sequence
includes its first `START`, and only padding follows. Where all have the same length (the oracle's),
0 is a token like any other.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.nn.recurrent import advance, recur, zero_carry

START = 0

Carry = tuple[jax.Array, jax.Array]
"""Hidden state and cell, each [..., H]."""


class LanguageModel(nn.Module):
    """The generator and the oracle of SeqGAN (Yu et al., AAAI 2017).

    Parameters, with the gates in the order input, forget, cell, output: `embedding` [V, E],
    `kernel` [E, 4 H], `recurrent_kernel` [H, 4 H], `bias` [4 H], `output_kernel` [H, V],
    `output_bias` [V].

    Attributes:
        vocabulary: V, the number of tokens.
        embedding: E, the size of a token's embedding.
        hidden: H, the number of hidden units.
        deviation: all parameters, biases included, are initialised from a normal distribution with
            mean 0 and this standard deviation: 0.1 for SeqGAN's generator, 1 for its oracle.
    """

    vocabulary: int
    embedding: int
    hidden: int
    deviation: float = 0.1

    def setup(self) -> None:
        """Declares the parameters."""
        normal = nn.initializers.normal(self.deviation)
        gates = 4 * self.hidden
        self.table = self.param("embedding", normal, (self.vocabulary, self.embedding))
        self.kernel = self.param("kernel", normal, (self.embedding, gates))
        self.recurrent_kernel = self.param("recurrent_kernel", normal, (self.hidden, gates))
        self.bias = self.param("bias", normal, (gates,))
        self.output_kernel = self.param("output_kernel", normal, (self.hidden, self.vocabulary))
        self.output_bias = self.param("output_bias", normal, (self.vocabulary,))

    def __call__(self, tokens: jax.Array, inputs: jax.Array | None = None) -> jax.Array:
        """Returns log p(token | the tokens before it), float32 [B, T].

        Args:
            tokens: int32 [B, T].
            inputs: int32 [B, T], what the model reads before each token; by default the token
                before it in the sequence.
        """
        gates = self.gate_inputs(previous_tokens(tokens) if inputs is None else inputs)
        start = zero_carry(1, len(tokens), self.hidden)
        hidden, _ = recur(jnp.moveaxis(gates, 1, 0)[:, None], self.recurrent_kernel[None], start)

        def log_probability(step: tuple[jax.Array, jax.Array]) -> jax.Array:
            hidden, tokens = step
            logits = self.logits(hidden)
            chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
            return chosen - jax.nn.logsumexp(logits, axis=-1)

        def step_by_step(steps: tuple[jax.Array, jax.Array]) -> jax.Array:
            # The logits are by far the largest array. Those of one step stay in a CPU's cache, and
            # the gradient computes them again.
            return jax.lax.map(jax.checkpoint(log_probability), steps)

        steps = hidden[:, 0], tokens.T
        return jax.lax.platform_dependent(steps, cpu=step_by_step, default=log_probability).T

    def gate_inputs(self, tokens: jax.Array) -> jax.Array:
        """Returns what tokens, int32 [...], and the bias add to the gates: [..., 4 H]."""
        return self.table[tokens] @ self.kernel + self.bias

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Returns the logits [..., V] of the next token."""
        return hidden @ self.output_kernel + self.output_bias

    def next_state(self, state: Carry, tokens: jax.Array) -> Carry:
        """Returns the state after the model has read one more token, int32 [...]."""
        hidden, cell = state
        gates = self.gate_inputs(tokens) + hidden @ self.recurrent_kernel
        hidden, cell, _ = advance(gates, cell)
        return hidden, cell

    def initial_state(self, shape: tuple[int, ...]) -> Carry:
        """Returns the state after `START`, each array [*shape, H]."""
        zero = jnp.zeros((*shape, self.hidden), self.bias.dtype)
        return self.next_state((zero, zero), jnp.full(shape, START, jnp.int32))


@dataclasses.dataclass(frozen=True)
class SequenceModel:
    """A language model and the shape of its sequences.

    Attributes:
        network: the language model.
        length: T, the number of tokens of a sequence, padding included.
        ends: whether `START` ends a sequence; otherwise all sequences have T tokens.
    """

    network: LanguageModel
    length: int
    ends: bool


def with_params(network: nn.Module, params: PyTree) -> Callable[..., Any]:
    """Returns a network's `__call__`, or with `method="name"` another method, as a function."""
    return functools.partial(network.apply, {"params": params})


def previous_tokens(tokens: jax.Array) -> jax.Array:
    """Returns the token before each, `START` before the first: int32 [B, T]."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)


def valid_tokens(tokens: jax.Array, ends: bool) -> jax.Array:
    """Returns which tokens belong to their sequence and not to its padding: bool [B, T].

    Args:
        tokens: int32 [B, T].
        ends: whether `START` ends a sequence; it belongs to the sequence.
    """
    if not ends:
        return jnp.ones(tokens.shape, bool)
    return jnp.cumsum(tokens == START, axis=1) - (tokens == START) == 0
