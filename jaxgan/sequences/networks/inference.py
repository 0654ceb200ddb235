"""Draws and scores any number of sequences with a language model, on all devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.language_model import SequenceModel, valid_tokens, with_params
from jaxgan.sequences.networks.sampling import sample
from jaxgan.sequences.networks.shards import ROWS, WHOLE, chunks, on_shards


def generate(
    params: PyTree,
    key: jax.Array,
    rows: jax.Array,
    temperature: jax.Array | float = 1.0,
    *,
    model: SequenceModel,
    mesh: Mesh,
) -> jax.Array:
    """Returns sequences that a language model draws, int32 [B, T]; pure.

    Args:
        params: the parameters of the language model.
        key: the PRNG key of this draw.
        rows: int32 [B]; the number of a row decides its sequence, whatever the others are.
        temperature: divides the logits.
        model: the language model.
        mesh: the devices, whose number divides B.
    """

    def on_shard(
        params: PyTree, key: jax.Array, rows: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        def one(row: jax.Array) -> jax.Array:
            return sample(model, params, jax.random.fold_in(key, row), temperature)

        return jax.lax.map(one, rows, batch_size=chunks(mesh).sequences)

    run = on_shards(mesh, on_shard, (WHOLE, WHOLE, ROWS, WHOLE))
    drawn: jax.Array = run(params, key, rows, jnp.asarray(temperature, jnp.float32))
    return drawn


def log_probabilities(
    params: PyTree, tokens: jax.Array, *, model: SequenceModel, mesh: Mesh
) -> jax.Array:
    """Returns log p of every token of int32 [B, T]: float32 [B, T], 0 in the padding; pure."""

    def on_shard(params: PyTree, tokens: jax.Array) -> jax.Array:
        def one(row: jax.Array) -> jax.Array:
            scored: jax.Array = with_params(model.network, params)(row[None])[0]
            return scored

        return jax.lax.map(one, tokens, batch_size=chunks(mesh).sequences)

    found = on_shards(mesh, on_shard, (WHOLE, ROWS))(params, tokens)
    return jnp.where(valid_tokens(tokens, model.ends), found, 0)


class Inference:
    """Compiled programs that draw and score with one language model, for use on the host.

    Args:
        model: the language model.
        mesh: the devices.
    """

    def __init__(self, model: SequenceModel, mesh: Mesh) -> None:
        self._mesh = mesh
        whole = devices.replicated(mesh)
        draw = functools.partial(generate, model=model, mesh=mesh)
        score = functools.partial(log_probabilities, model=model, mesh=mesh)
        count = functools.partial(valid_tokens, ends=model.ends)
        self._draw = jax.jit(draw, out_shardings=whole)
        self._score = jax.jit(score, out_shardings=whole)
        self._valid = jax.jit(count, out_shardings=whole)

    def draw(
        self, params: PyTree, key: jax.Array, count: int, temperature: float = 1.0
    ) -> np.ndarray:
        """Returns sequences drawn with these parameters, int32 [count, T]."""
        rows = np.arange(count + -count % self._mesh.size, dtype=np.int32)
        placed = devices.put_sharded(rows, self._mesh)
        heat = devices.put_replicated(np.float32(temperature), self._mesh)
        drawn: np.ndarray = jax.device_get(self._draw(params, key, placed, heat))
        return drawn[:count]

    def score(self, params: PyTree, tokens: np.ndarray) -> np.ndarray:
        """Returns log p of every token of int32 [N, T]: float32 [N, T], 0 in the padding."""
        found: np.ndarray = jax.device_get(self._score(params, self._place(tokens)))
        return found[: len(tokens)]

    def mean_nll(self, params: PyTree, tokens: np.ndarray) -> float:
        """Returns -log p per token of int32 [N, T]."""
        valid = jax.device_get(self._valid(self._place(tokens)))[: len(tokens)]
        total = -self.score(params, tokens).sum(dtype=np.float64)
        return float(total / np.count_nonzero(valid))

    def _place(self, tokens: np.ndarray) -> jax.Array:
        """Puts sequences on the devices, the first ones again to make their number divisible."""
        count = len(tokens) + -len(tokens) % self._mesh.size
        placed: jax.Array = devices.put_sharded(
            np.resize(tokens, (count, tokens.shape[1])), self._mesh
        )
        return placed
