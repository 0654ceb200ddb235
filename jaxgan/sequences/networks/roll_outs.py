"""Monte Carlo search: completions of every prefix by a roll-out policy, and their judgement."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxgan.core.state import Player, PyTree, RunState
from jaxgan.sequences.networks.discriminator import Discriminator, realness, to_unit_interval
from jaxgan.sequences.networks.language_model import SequenceModel, with_params
from jaxgan.sequences.networks.sampling import complete
from jaxgan.sequences.networks.shards import ROWS, WHOLE, chunks, on_shards


def roll_out(
    model: SequenceModel,
    params: PyTree,
    key: jax.Array,
    tokens: jax.Array,
    rows: jax.Array,
    roll_outs: int,
    mesh: Mesh,
) -> jax.Array:
    """Returns completions of every prefix of every sequence, int32 [B, T - 1, N, T].

    Args:
        model: the language model of the roll-out policy.
        params: its parameters.
        key: the PRNG key of this draw.
        tokens: int32 [B, T].
        rows: int32 [B], the numbers of the sequences, which decide what is drawn.
        roll_outs: N, completions of each prefix of 1 to T - 1 tokens.
        mesh: the devices, whose number divides B.
    """

    def on_shard(params: PyTree, key: jax.Array, tokens: jax.Array, rows: jax.Array) -> jax.Array:
        def one(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
            sequence, row = inputs
            return complete(model, params, sequence, jax.random.fold_in(key, row), roll_outs)

        return jax.lax.map(one, (tokens, rows), batch_size=chunks(mesh).roll_outs)

    run = on_shards(mesh, on_shard, (WHOLE, WHOLE, ROWS, ROWS))
    completions: jax.Array = run(params, key, tokens, rows)
    return completions


def expected_judgements(
    discriminator: Discriminator,
    params: PyTree,
    tokens: jax.Array,
    completions: jax.Array,
    mesh: Mesh,
) -> jax.Array:
    """Returns the expected judgement after each token, float32 [B, T] in 0..1.

    It is the mean judgement of the completions of the prefix that ends with the token; for the last
    token it is the judgement of the sequence itself (Yu et al., equation 4).

    Args:
        discriminator: the network that judges.
        params: its parameters.
        tokens: int32 [B, T].
        completions: int32 [B, T - 1, N, T].
        mesh: the devices, whose number divides B.
    """
    batch, _, roll_outs, length = completions.shape

    def on_shard(params: PyTree, tokens: jax.Array, completions: jax.Array) -> jax.Array:
        def one(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
            sequence, completed = inputs
            every = jnp.concatenate([completed.reshape(-1, length), sequence[None]])
            return realness(with_params(discriminator, params)(every))

        return jax.lax.map(one, (tokens, completions), batch_size=chunks(mesh).roll_outs)

    raw = on_shards(mesh, on_shard, (WHOLE, ROWS, ROWS))(params, tokens, completions)
    judged = to_unit_interval(raw, discriminator)
    means = jnp.mean(judged[:, :-1].reshape(batch, length - 1, roll_outs), axis=-1)
    return jnp.concatenate([means, judged[:, -1:]], axis=1)


def start_adversarial(run_state: RunState, *, optimizer: optax.GradientTransformation) -> RunState:
    """Gives G a new optimizer and makes a copy of G the roll-out policy."""
    player = run_state.players["generator"]
    fresh = dataclasses.replace(player, opt_state=optimizer.init(player.params))
    players = {**run_state.players, "generator": fresh}
    return dataclasses.replace(run_state, players=players, memory=roll_out_memory(player))


def follow(run_state: RunState, *, decay: float) -> RunState:
    """Moves the roll-out policy towards G, once a round (Yu et al., algorithm 1)."""
    params, policy = run_state.players["generator"].params, run_state.memory["roll_out"]
    memory = {"roll_out": move_towards(policy, params, decay)}
    return dataclasses.replace(run_state, memory=memory)


def roll_out_memory(generator: Player) -> dict[str, PyTree]:
    """Returns the memory of a run whose roll-out policy is a copy of G."""
    # Steps overwrite both in place, so they cannot share arrays.
    return {"roll_out": jax.tree.map(jnp.copy, generator.params)}


def move_towards(policy: PyTree, generator: PyTree, decay: float) -> PyTree:
    """Returns the parameters of a roll-out policy after one move towards those of G.

    As in the authors' code, the embeddings become those of G, and of everything else the policy
    keeps the share `decay`.
    """
    moved = optax.incremental_update(generator, policy, 1 - decay)
    # Steps overwrite both players in place, so they cannot share the array.
    return {**moved, "embedding": jnp.copy(generator["embedding"])}
