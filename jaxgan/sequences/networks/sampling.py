"""Drawing from a language model: whole sequences, and completions of every beginning of one.

Each row has a key of its own, so that what is drawn does not depend on its company nor on the
devices.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.language_model import START, Carry, LanguageModel, bound

LANES = 16
"""Numbers that a processor adds at once; blocks are multiples of it."""


def draw(logits: jax.Array, uniform: jax.Array) -> jax.Array:
    """One token for each row by the inverse of the cumulative distribution.

    One random number a row, where the Gumbel trick takes one for every token of the vocabulary. The
    cumulative sum is taken over blocks of tokens first, and then inside the chosen block alone.

    Args:
        logits: float32 [..., V].
        uniform: float32 [...] in [0, 1).

    Returns:
        int32 [...].
    """
    vocabulary = logits.shape[-1]
    block = LANES * math.ceil(math.sqrt(vocabulary) / LANES)
    largest = jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(logits - largest)
    padding = [(0, 0)] * (logits.ndim - 1) + [(0, -vocabulary % block)]
    blocks = jnp.pad(weights, padding).reshape(*logits.shape[:-1], -1, block)
    none = [(0, 0)] * (logits.ndim - 1) + [(1, 0)]
    ends = jnp.pad(jnp.cumsum(jnp.sum(blocks, axis=-1), axis=-1), none)
    threshold = uniform[..., None] * ends[..., -1:]
    # Rounding can put the threshold behind the last block, or behind the last token of its block.
    which = jnp.sum(ends[..., 1:] <= threshold, axis=-1, keepdims=True)
    which = jnp.minimum(which, blocks.shape[-2] - 1)
    chosen = jnp.take_along_axis(blocks, which[..., None], axis=-2)[..., 0, :]
    reached = jnp.take_along_axis(ends, which, axis=-1) + jnp.cumsum(chosen, axis=-1)
    place = jnp.minimum(jnp.sum(reached <= threshold, axis=-1), block - 1)
    return jnp.minimum(which[..., 0] * block + place, vocabulary - 1).astype(jnp.int32)


def draw_next(
    model: LanguageModel,
    params: PyTree,
    state: Carry,
    uniform: jax.Array,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """The next token int32 [...] in a state [..., H], by numbers [...] as in `draw`."""
    logits = bound(model, params)(state[0], method="logits")
    return draw(logits / temperature, uniform)


def sample(
    model: LanguageModel,
    params: PyTree,
    key: jax.Array,
    length: int,
    ends: bool,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """One sequence: int32 [T].

    Args:
        model: the language model.
        params: its parameters.
        key: of this sequence.
        length: T.
        ends: `START` ends a sequence.
        temperature: the logits are divided by it.
    """
    apply = bound(model, params)

    def step(
        carry: tuple[Carry, jax.Array], uniform: jax.Array
    ) -> tuple[tuple[Carry, jax.Array], jax.Array]:
        state, over = carry
        token = draw_next(model, params, state, uniform, temperature)
        token = jnp.where(over, START, token) if ends else token
        return (apply(state, token, method="advance"), over | (token == START)), token

    start = apply((), method="begin"), jnp.zeros((), bool)
    return jax.lax.scan(step, start, jax.random.uniform(key, (length,)))[1]


def complete(
    model: LanguageModel,
    params: PyTree,
    tokens: jax.Array,
    key: jax.Array,
    roll_outs: int,
    ends: bool,
) -> jax.Array:
    """Completes every beginning of one sequence: int32 [T - 1, N, T], after 1 to T - 1 tokens.

    Every completion is a lane of one scan over time. The beginnings of p and of T - p tokens share
    their lanes: completing the one takes T - p steps and the other p, so that all lanes are busy in
    all T steps, where a lane for each would be idle half of the time.

    Args:
        model: the language model of the roll-out policy.
        params: its parameters.
        tokens: int32 [T], T at least 2.
        key: of this sequence.
        roll_outs: N, completions of each.
        ends: `START` ends a sequence.
    """
    length, pairs = len(tokens), len(tokens) // 2
    apply = bound(model, params)

    def listen(carry: tuple[Carry, jax.Array], token: jax.Array) -> tuple[Any, Any]:
        state, over = carry
        return (apply(state, token, method="advance"), over | (token == START)), carry

    start = apply((), method="begin"), jnp.zeros((), bool)
    # What is known after 0, 1, ..., T - 1 tokens: the model's state, and whether the end was there.
    _, known = jax.lax.scan(listen, start, tokens)
    # Lane j begins with j + 1 tokens, and from step T - 1 - j on with so many.
    lanes = jnp.arange(pairs)[:, None]

    def lay_out(leaf: jax.Array) -> jax.Array:
        return jnp.broadcast_to(leaf[:, None], (pairs, roll_outs, *leaf.shape[1:]))

    def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        number, second, uniform = inputs
        turns = lanes == length - 1 - number
        carry = jax.tree.map(lambda a, b: jnp.where(_like(turns, a), b, a), carry, second)
        state, over = carry
        token = draw_next(model, params, state, uniform)
        token = jnp.where(over, START, token) if ends else token
        return (apply(state, token, method="advance"), over | (token == START)), token

    first = jax.tree.map(lambda leaf: lay_out(leaf[1 : pairs + 1]), known)
    uniforms = jax.random.uniform(key, (length, pairs, roll_outs))
    _, drawn = jax.lax.scan(step, first, (jnp.arange(length), known, uniforms))
    return _assemble(tokens, drawn)


def _like(mask: jax.Array, leaf: jax.Array) -> jax.Array:
    return mask.reshape(*mask.shape, *[1] * (leaf.ndim - mask.ndim))


def _assemble(tokens: jax.Array, drawn: jax.Array) -> jax.Array:
    """Beginnings int32 [T] and what the lanes drew, [T, T // 2, N] -> [T - 1, N, T]."""
    length, pairs, _ = drawn.shape
    given, place = np.mgrid[1:length, :length]
    is_first = given <= pairs
    lane = np.where(is_first, given - 1, length - 1 - given)
    step = np.where(is_first, np.maximum(place - given, 0), place)
    completed = jnp.swapaxes(drawn[step, lane], 1, 2)
    return jnp.where((place < given)[:, None], tokens, completed)
