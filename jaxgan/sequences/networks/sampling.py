"""Draws tokens from a language model: whole sequences, completions, and scheduled sampling.

A whole sequence and its completions have their own keys, so what is drawn does not depend on which
other sequences are drawn with it, nor on the number of devices.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.language_model import (
    START,
    Carry,
    LanguageModel,
    SequenceModel,
    previous_tokens,
    with_params,
)

LANES = 16
"""How many numbers a processor adds at once; the blocks of `draw` are multiples of it."""


def draw(logits: jax.Array, uniform: jax.Array) -> jax.Array:
    """Returns one token per row, int32 [...], by inverting the cumulative distribution.

    It needs one random number per row, where the Gumbel trick needs one per token of the
    vocabulary. The cumulative sum runs over blocks of tokens, and then over the tokens of the
    chosen block only.

    Args:
        logits: float32 [..., V].
        uniform: float32 [...] in [0, 1).
    """
    vocabulary = logits.shape[-1]
    block = LANES * math.ceil(math.sqrt(vocabulary) / LANES)
    largest = jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(logits - largest)
    padding = [(0, 0)] * (logits.ndim - 1) + [(0, -vocabulary % block)]
    blocks = jnp.pad(weights, padding).reshape(*logits.shape[:-1], -1, block)
    one_before = [(0, 0)] * (logits.ndim - 1) + [(1, 0)]
    ends = jnp.pad(jnp.cumsum(jnp.sum(blocks, axis=-1), axis=-1), one_before)
    threshold = uniform[..., None] * ends[..., -1:]
    # Rounding can put the threshold past the last block, or past the last token of its block.
    which = jnp.sum(ends[..., 1:] <= threshold, axis=-1, keepdims=True)
    which = jnp.minimum(which, blocks.shape[-2] - 1)
    chosen = jnp.take_along_axis(blocks, which[..., None], axis=-2)[..., 0, :]
    reached = jnp.take_along_axis(ends, which, axis=-1) + jnp.cumsum(chosen, axis=-1)
    place = jnp.minimum(jnp.sum(reached <= threshold, axis=-1), block - 1)
    return jnp.minimum(which[..., 0] * block + place, vocabulary - 1).astype(jnp.int32)


def draw_next(
    network: LanguageModel,
    params: PyTree,
    state: Carry,
    uniform: jax.Array,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """Returns the next token, int32 [...], given a state [..., H] and numbers as in `draw`."""
    logits = with_params(network, params)(state[0], method="logits")
    return draw(logits / temperature, uniform)


def sample(
    model: SequenceModel,
    params: PyTree,
    key: jax.Array,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """Returns one sequence, int32 [T].

    Args:
        model: the language model.
        params: its parameters.
        key: the PRNG key of this sequence.
        temperature: divides the logits.
    """
    call = with_params(model.network, params)

    def step(
        carry: tuple[Carry, jax.Array], uniform: jax.Array
    ) -> tuple[tuple[Carry, jax.Array], jax.Array]:
        state, ended = carry
        token = draw_next(model.network, params, state, uniform, temperature)
        token = jnp.where(ended, START, token) if model.ends else token
        return (call(state, token, method="next_state"), ended | (token == START)), token

    start = call((), method="initial_state"), jnp.zeros((), bool)
    return jax.lax.scan(step, start, jax.random.uniform(key, (model.length,)))[1]


def complete(
    model: SequenceModel, params: PyTree, tokens: jax.Array, key: jax.Array, roll_outs: int
) -> jax.Array:
    """Returns completions of every prefix of a sequence, int32 [T - 1, N, T].

    The prefixes have 1 to T - 1 tokens. Each completion is a lane of one scan over time. The
    prefixes of p and of T - p tokens share their lanes: one needs T - p steps and the other p, so
    all lanes are busy in all T steps. With a lane of its own, a prefix would leave it idle half of
    the time.

    Args:
        model: the language model of the roll-out policy.
        params: its parameters.
        tokens: int32 [T], T at least 2.
        key: the PRNG key of this sequence.
        roll_outs: N, completions of each prefix.
    """
    length, pairs = len(tokens), len(tokens) // 2
    call = with_params(model.network, params)

    def read(carry: tuple[Carry, jax.Array], token: jax.Array) -> tuple[Any, Any]:
        state, ended = carry
        return (call(state, token, method="next_state"), ended | (token == START)), carry

    start = call((), method="initial_state"), jnp.zeros((), bool)
    # After 0, 1, ..., T - 1 tokens: the model's state, and whether the sequence has ended.
    _, after = jax.lax.scan(read, start, tokens)
    # Lane j completes the prefix of j + 1 tokens, and from step T - 1 - j on that of T - 1 - j.
    lanes = jnp.arange(pairs)[:, None]

    def repeat(leaf: jax.Array) -> jax.Array:
        return jnp.broadcast_to(leaf[:, None], (pairs, roll_outs, *leaf.shape[1:]))

    def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        number, second, uniform = inputs
        switches = lanes == length - 1 - number
        carry = jax.tree.map(lambda a, b: jnp.where(_expand(switches, a), b, a), carry, second)
        state, ended = carry
        token = draw_next(model.network, params, state, uniform)
        token = jnp.where(ended, START, token) if model.ends else token
        return (call(state, token, method="next_state"), ended | (token == START)), token

    first = jax.tree.map(lambda leaf: repeat(leaf[1 : pairs + 1]), after)
    uniforms = jax.random.uniform(key, (length, pairs, roll_outs))
    _, drawn = jax.lax.scan(step, first, (jnp.arange(length), after, uniforms))
    return _assemble(tokens, drawn)


def scheduled_inputs(
    network: LanguageModel, params: PyTree, tokens: jax.Array, key: jax.Array, truth: jax.Array
) -> jax.Array:
    """Returns the inputs of scheduled sampling, int32 [B, T]; the first is `START`.

    After each position the model reads the data's token with probability `truth`, independently for
    every position, and otherwise a token that it draws there (Bengio et al. 2015).

    Args:
        network: the language model.
        params: its parameters.
        tokens: int32 [B, T], the data.
        key: the PRNG key of this batch.
        truth: float32 [], the probability of the data's token.
    """
    coin_key, token_key = jax.random.split(key)
    uniforms = jax.random.uniform(token_key, tokens.shape)
    from_data = jax.random.uniform(coin_key, tokens.shape) < truth
    call = with_params(network, params)

    def step(state: Carry, inputs: Any) -> tuple[Carry, jax.Array]:
        true, is_true, uniform = inputs
        token = jnp.where(is_true, true, draw_next(network, params, state, uniform))
        return call(state, token, method="next_state"), token

    start = call(tokens.shape[:1], method="initial_state")
    _, read = jax.lax.scan(step, start, (tokens.T, from_data.T, uniforms.T))
    return previous_tokens(read.T)


def _expand(mask: jax.Array, leaf: jax.Array) -> jax.Array:
    """Returns the mask with as many axes as the leaf."""
    return mask.reshape(*mask.shape, *[1] * (leaf.ndim - mask.ndim))


def _assemble(tokens: jax.Array, drawn: jax.Array) -> jax.Array:
    """Joins the prefixes of int32 [T] with what the lanes drew, [T, T // 2, N]: [T - 1, N, T]."""
    length, pairs, _ = drawn.shape
    given, place = np.mgrid[1:length, :length]
    is_first = given <= pairs
    lane = np.where(is_first, given - 1, length - 1 - given)
    step = np.where(is_first, np.maximum(place - given, 0), place)
    completed = jnp.swapaxes(drawn[step, lane], 1, 2)
    return jnp.where((place < given)[:, None], tokens, completed)
