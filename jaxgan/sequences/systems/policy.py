"""How the generator learns from rewards, in pure functions: roll-outs and the policy gradient."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import Metrics, PyTree, RunState, descend
from jaxgan.sequences.networks.language_model import bound, valid
from jaxgan.sequences.networks.rows import ROWS, WHOLE, by_rows, chunks
from jaxgan.sequences.networks.sampling import complete
from jaxgan.sequences.systems.system import (
    RANDOM_STREAM,
    ROLL_OUT_STREAM,
    SAMPLE_STREAM,
    System,
    step_key,
)


class Explored(NamedTuple):
    """What G has made and how it was judged.

    Attributes:
        tokens: int32 [B, T], what G drew.
        completions: int32 [B, T - 1, N, T], of the beginnings of 1 to T - 1 tokens; None where they
            are not looked at.
        values: float32 [B, T], the expected judgement after each token.
    """

    tokens: jax.Array
    completions: jax.Array | None
    values: jax.Array


def begin_policy(run_state: RunState, *, system: System) -> RunState:
    """Before the first adversarial round: G's optimizer begins anew; the roll-out policy is G."""
    player = run_state.players["generator"]
    fresh = dataclasses.replace(player, opt_state=system.policy_optimizer.init(player.params))
    memory = {"roll_out": jax.tree.map(jnp.copy, player.params)}
    players = {**run_state.players, "generator": fresh}
    return dataclasses.replace(run_state, players=players, memory=memory)


def explore(run_state: RunState, rows: jax.Array, *, system: System) -> Explored:
    """G draws sequences; the roll-out policy completes every beginning, and D judges all of them.

    The value of a token is the mean judgement of N completions of what stands so far; that of the
    last token is the judgement of the sequence itself (Yu et al., eq. 4).

    Args:
        run_state: the state.
        rows: int32 [B], numbers of the sequences.
        system: what is fixed.
    """
    players = run_state.players
    _, at_once = chunks()
    key = step_key(run_state, SAMPLE_STREAM)
    tokens = system.generate(players["generator"].params, key, rows)

    def on_shard(
        policy: PyTree, judge: PyTree, key: jax.Array, tokens: jax.Array, rows: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def one(inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            own, row = inputs
            row_key = jax.random.fold_in(key, row)
            completed = complete(
                system.generator, policy, own, row_key, system.roll_outs, system.ends
            )
            everything = jnp.concatenate([completed.reshape(-1, system.length), own[None]])
            if system.judge != "discriminator":
                return completed, jnp.zeros(len(everything))
            judged = bound(system.discriminator, judge)(everything)
            return completed, judged[:, -1] - (judged[:, 0] if judged.shape[1] == 2 else 0)

        return jax.lax.map(one, (tokens, rows), batch_size=at_once)

    run = by_rows(system.mesh, on_shard, (WHOLE, WHOLE, WHOLE, ROWS, ROWS), (ROWS, ROWS))
    key = step_key(run_state, ROLL_OUT_STREAM)
    judge = players["discriminator"].params
    completions, raw = run(run_state.memory["roll_out"], judge, key, tokens, rows)
    judged = normalised(raw, system)
    own, others = judged[:, -1:], judged[:, :-1].reshape(len(tokens), -1, system.roll_outs)
    values = jnp.concatenate([jnp.mean(others, axis=-1), own], axis=1)
    if system.judge == "constant":
        values = jnp.ones_like(values)
    if system.judge == "random":
        values = jax.random.uniform(step_key(run_state, RANDOM_STREAM), values.shape)
    return Explored(tokens, completions, values)


def normalised(raw: jax.Array, system: System) -> jax.Array:
    """Judgements in 0..1: D's probability of "real"; a critic's values between their extremes."""
    if system.discriminator.outputs == 2:
        return jax.nn.sigmoid(raw)
    lowest, highest = jnp.min(raw), jnp.max(raw)
    return (raw - lowest) / jnp.maximum(highest - lowest, 1e-6)


def policy_step(
    run_state: RunState, tokens: jax.Array, rewards: jax.Array, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: minus the sum over sequences and tokens of log p times the advantage.

    The gradient is that of the expected reward (REINFORCE; Yu et al., eq. 8) for a batch's sum.

    Args:
        run_state: donated.
        tokens: int32 [B, T], drawn by G as it is.
        rewards: float32 [B, T], of every token.
        system: what is fixed.

    Returns:
        The state, and `loss` [], and `reward` [], the mean over the sequences' last tokens.
    """
    mask = valid(tokens, system.ends)
    advantages = compared(rewards, mask) if system.baseline else rewards

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        log_probability = bound(system.generator, params)(tokens)
        value = -jnp.sum(jnp.where(mask, log_probability * advantages, 0))
        return value, (state, {"loss": value, "reward": jnp.mean(rewards[:, -1])})

    return descend(run_state, "generator", loss, system.policy_optimizer)


def follow(run_state: RunState, *, system: System) -> RunState:
    """The roll-out policy follows G, once a round (Yu et al., algorithm 1).

    It keeps `roll_out_decay` of its parameters, but takes G's embeddings as they are, as in the
    authors' code.
    """
    params, old = run_state.players["generator"].params, run_state.memory["roll_out"]
    delayed = optax.incremental_update(params, old, 1 - system.roll_out_decay)
    # A copy of its own: the next step is given both to overwrite.
    roll_out = {**delayed, "embedding": jnp.copy(params["embedding"])}
    return dataclasses.replace(run_state, memory={"roll_out": roll_out})


def compared(rewards: jax.Array, mask: jax.Array) -> jax.Array:
    """Rewards less the mean of the other sequences' at the same token: float32 [B, T].

    A sequence's own reward takes no part in its baseline, so the gradient stays unbiased. A token
    that only one sequence has is compared with nothing and gets 0, as does every constant reward.
    """
    count = jnp.sum(mask, axis=0)
    mean = jnp.sum(jnp.where(mask, rewards, 0), axis=0) / jnp.maximum(count, 1)
    return (rewards - mean) * count / jnp.maximum(count - 1, 1)
