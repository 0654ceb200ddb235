"""Learning by likelihood, in pure functions: teacher forcing and scheduled sampling."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.core.state import Metrics, PyTree, RunState, descend
from jaxgan.sequences.networks.language_model import LanguageModel, before, bound, valid
from jaxgan.sequences.networks.sampling import draw_next
from jaxgan.sequences.systems.system import DATA_STREAM, System, over, step_key


def likelihood_epoch(
    run_state: RunState, data: jax.Array, order: jax.Array, truth: jax.Array, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once for every batch: the mean of -log p over tokens (teacher forcing).

    With `truth` below 1 this is scheduled sampling (Bengio et al. 2015): what G is fed with after a
    token is, with that probability and for each token by itself, the data's token, and otherwise
    one that G has drawn there.

    Args:
        run_state: donated.
        data: int32 [N, T].
        order: int32 [B, S], the sequences of S batches.
        truth: float32 [].
        system: what is fixed.

    Returns:
        The state, and the mean `loss` [].
    """
    model = system.generator

    def step(run_state: RunState, chosen: jax.Array) -> tuple[RunState, Metrics]:
        tokens = data[chosen]
        key = step_key(run_state, DATA_STREAM)
        player = run_state.players["generator"]
        # Without it teacher forcing pays for drawing tokens that it does not use.
        heard = jax.lax.cond(
            truth < 1,
            lambda: mix(model, player.params, tokens, key, truth),
            lambda: before(tokens),
        )
        mask = valid(tokens, system.ends)

        def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
            log_probability = bound(model, params)(tokens, heard)
            value = -jnp.sum(jnp.where(mask, log_probability, 0)) / jnp.sum(mask)
            return value, (state, {"loss": value})

        return descend(run_state, "generator", loss, system.likelihood_optimizer)

    return over(step, run_state, order)


def mix(
    model: LanguageModel, params: PyTree, tokens: jax.Array, key: jax.Array, truth: jax.Array
) -> jax.Array:
    """What scheduled sampling feeds G with: int32 [B, T], the first is `START`.

    Args:
        model: of G.
        params: its parameters.
        tokens: int32 [B, T], data.
        key: of this batch.
        truth: the probability of the data's token.
    """
    coin_key, token_key = jax.random.split(key)
    uniforms = jax.random.uniform(token_key, tokens.shape)
    keeps = jax.random.uniform(coin_key, tokens.shape) < truth

    def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
        true, keep, uniform = inputs
        drawn = draw_next(model, params, carry, uniform)
        token = jnp.where(keep, true, drawn)
        return bound(model, params)(carry, token, method="advance"), token

    start = bound(model, params)(tokens.shape[:1], method="begin")
    _, heard = jax.lax.scan(step, start, (tokens.T, keeps.T, uniforms.T))
    return before(heard.T)
