"""A language model in use: it draws and scores any number of sequences, on all devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.language_model import LanguageModel, bound, valid
from jaxgan.sequences.networks.rows import ROWS, WHOLE, by_rows, chunks
from jaxgan.sequences.networks.sampling import sample


class Inference:
    """Draws and scores.

    Args:
        model: the language model.
        length: T, tokens of a sequence.
        ends: whether `START` ends sequences.
        mesh: the devices.
    """

    def __init__(self, model: LanguageModel, length: int, ends: bool, mesh: Mesh) -> None:
        self._mesh = mesh
        whole = devices.replicated(mesh)
        draw = functools.partial(generate, model=model, length=length, ends=ends, mesh=mesh)
        score = functools.partial(log_probabilities, model=model, ends=ends, mesh=mesh)
        self._draw = jax.jit(draw, out_shardings=whole)
        self._score = jax.jit(score, out_shardings=whole)

    def draw(
        self, params: PyTree, key: jax.Array, count: int, temperature: float = 1.0
    ) -> np.ndarray:
        """int32 [count, T], drawn by a model with these parameters."""
        rows = np.arange(count + -count % self._mesh.size, dtype=np.int32)
        placed = devices.put_sharded(rows, self._mesh)
        heat = devices.put_replicated(np.float32(temperature), self._mesh)
        drawn: np.ndarray = jax.device_get(self._draw(params, key, placed, heat))
        return drawn[:count]

    def score(self, params: PyTree, tokens: np.ndarray) -> np.ndarray:
        """log p of every token of int32 [N, T]: float32 [N, T], 0 behind a sequence's end."""
        padded = np.resize(tokens, (len(tokens) + -len(tokens) % self._mesh.size, tokens.shape[1]))
        placed = devices.put_sharded(padded, self._mesh)
        found: np.ndarray = jax.device_get(self._score(params, placed))
        return found[: len(tokens)]

    def mean_nll(self, params: PyTree, tokens: np.ndarray, ends: bool) -> float:
        """-log p per token of int32 [N, T]."""
        count = np.count_nonzero(jax.device_get(valid(jnp.asarray(tokens), ends)))
        return float(-self.score(params, tokens).sum(dtype=np.float64) / count)


def generate(
    params: PyTree,
    key: jax.Array,
    rows: jax.Array,
    temperature: jax.Array | float = 1.0,
    *,
    model: LanguageModel,
    length: int,
    ends: bool,
    mesh: Mesh,
) -> jax.Array:
    """What a language model draws: int32 [B, T].

    Args:
        params: of the model.
        key: of this draw.
        rows: int32 [B], which of its sequences; each is the same whatever the others are.
        temperature: see `sample`.
        model: the language model.
        length: T.
        ends: whether `START` ends sequences.
        mesh: the devices, whose number divides B.
    """
    at_once, _ = chunks()

    def on_shard(
        params: PyTree, key: jax.Array, rows: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        def one(row: jax.Array) -> jax.Array:
            own = jax.random.fold_in(key, row)
            return sample(model, params, own, length, ends, temperature)

        return jax.lax.map(one, rows, batch_size=at_once)

    run = by_rows(mesh, on_shard, (WHOLE, WHOLE, ROWS, WHOLE))
    drawn: jax.Array = run(params, key, rows, jnp.asarray(temperature, jnp.float32))
    return drawn


def log_probabilities(
    params: PyTree, tokens: jax.Array, *, model: LanguageModel, ends: bool, mesh: Mesh
) -> jax.Array:
    """log p of every token int32 [B, T]: float32 [B, T], 0 behind the end of a sequence."""
    at_once, _ = chunks()

    def on_shard(params: PyTree, tokens: jax.Array) -> jax.Array:
        def one(row: jax.Array) -> jax.Array:
            scored: jax.Array = bound(model, params)(row[None])[0]
            return scored

        return jax.lax.map(one, tokens, batch_size=at_once)

    found = by_rows(mesh, on_shard, (WHOLE, ROWS))(params, tokens)
    return jnp.where(valid(tokens, ends), found, 0)
