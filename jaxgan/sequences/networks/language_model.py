"""A language model: one LSTM that gives, after every token, the probability of each next one.

Sequences are int32 [B, T]. Every one begins behind the token `START`, which is not part of it.
Where sequences differ in length, `START` also ends them: behind the first one in a sequence there
are no others. Where they do not (the oracle's), 0 is a token like any other.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.core.state import PyTree
from jaxgan.nn.recurrent import advance, recur

START = 0

Carry = tuple[jax.Array, jax.Array]
"""Hidden state and cell, each [..., H]."""


class LanguageModel(nn.Module):
    """The generator, and the oracle, of SeqGAN (Yu et al., AAAI 2017).

    Parameters, gates in the order input, forget, cell, output: `embedding` [V, E], `kernel`
    [E, 4 H], `recurrent_kernel` [H, 4 H], `bias` [4 H], `output_kernel` [H, V], `output_bias` [V].

    Attributes:
        vocabulary: V, tokens.
        embedding: E, numbers for a token.
        hidden: H, hidden units.
        deviation: all parameters are first drawn from a normal distribution of this standard
            deviation and mean 0, biases too: 0.1 for SeqGAN's generator, 1 for its oracle.
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

    def __call__(self, tokens: jax.Array, heard: jax.Array | None = None) -> jax.Array:
        """log p(token | the ones before): float32 [B, T].

        Args:
            tokens: int32 [B, T].
            heard: int32 [B, T], what the model is fed with in their place; by default what stands
                before each.
        """
        inputs = self.from_input(before(tokens) if heard is None else heard)
        hidden = recur(jnp.moveaxis(inputs, 1, 0)[:, None], self.recurrent_kernel[None])

        def log_probability(arrays: tuple[jax.Array, jax.Array]) -> jax.Array:
            hidden, tokens = arrays
            logits = self.logits(hidden)
            chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
            return chosen - jax.nn.logsumexp(logits, axis=-1)

        def step_by_step(arrays: tuple[jax.Array, jax.Array]) -> jax.Array:
            # The logits are the largest array by far. One step's fit into a CPU's cache if the
            # backward pass computes them again.
            return jax.lax.map(jax.checkpoint(log_probability), arrays)

        arrays = hidden[:, 0], tokens.T
        return jax.lax.platform_dependent(arrays, cpu=step_by_step, default=log_probability).T

    def from_input(self, tokens: jax.Array) -> jax.Array:
        """What tokens int32 [...] add to the gates: [..., 4 H]."""
        return self.table[tokens] @ self.kernel + self.bias

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Logits [..., V] of the next token."""
        return hidden @ self.output_kernel + self.output_bias

    def advance(self, carry: Carry, tokens: jax.Array) -> Carry:
        """The state [..., H] after one token more, int32 [...]."""
        hidden, cell = carry
        gates = self.from_input(tokens) + hidden @ self.recurrent_kernel
        hidden, cell, _ = advance(gates, cell)
        return hidden, cell

    def begin(self, shape: tuple[int, ...]) -> Carry:
        """The state behind `START`: [*shape, H]."""
        zero = jnp.zeros((*shape, self.hidden), self.bias.dtype)
        return self.advance((zero, zero), jnp.full(shape, START, jnp.int32))


def bound(network: nn.Module, params: PyTree) -> Callable[..., Any]:
    """A network as a function: of its `__call__`'s arguments, or with `method` of another's."""
    return functools.partial(network.apply, {"params": params})


def before(tokens: jax.Array) -> jax.Array:
    """The token before each, `START` before the first: int32 [B, T]."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)


def valid(tokens: jax.Array, ends: bool) -> jax.Array:
    """Which tokens belong to a sequence: bool [B, T].

    Args:
        tokens: int32 [B, T].
        ends: `START` ends a sequence, and belongs to it; otherwise all tokens are valid.
    """
    if not ends:
        return jnp.ones(tokens.shape, bool)
    return jnp.cumsum(tokens == START, axis=1) - (tokens == START) == 0
