"""The scores that a system learns from: on the host or on the devices, in a step or next to it."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core.errors import UserError
from jaxgan.scores import device
from jaxgan.scores.background import submit_shards
from jaxgan.scores.in_step import ROWS, map_columns, score_in_step
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get
from jaxgan.scores.score import with_map

DeviceScore = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""A score as a JAX function: (reference [B, T], estimate [B, T], both int16 or float32, lengths
int32 [B], where 0 marks a padding row) -> raw scores float32 [B], NaN for a pair without one."""


class TrainingScores:
    """The scores of a run, each computed where the config says.

    Args:
        names: S names or import paths of scores.
        score_map: how raw scores map to [0, 1]; see `with_map`.
        where: see `choose_place`.
        pool: open worker processes that know the scores.
        mesh: the devices over which batches are divided.

    Attributes:
        names: as given.
        device_scores: the JAX functions, by name, of the scores that the devices compute.

    Raises:
        UserError: a score must be computed on the devices but has no JAX function.
    """

    def __init__(
        self, names: Sequence[str], score_map: str, where: str, pool: ScorePool, mesh: Mesh
    ) -> None:
        self.names = tuple(names)
        self.device_scores = {
            name: sharded_device_score(name, mesh)
            for name in names
            if choose_place(where, name) == "device"
        }
        self._scores = {name: with_map(get(name), score_map) for name in names}
        self._on_host = [name for name in names if name not in self.device_scores]
        self._pool = pool
        self._mesh = mesh
        self._device_program = jax.jit(self._on_devices)
        self._join = jax.jit(self._in_order)

    def in_step(
        self, reference: jax.Array, estimate: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Returns scores for use inside a jitted function; constants under differentiation.

        The host maps the scores that it computes. A score that the devices compute is mapped there,
        so its map must work on traced arrays.

        Args:
            reference: int16 [B, T].
            estimate: int16 [B, T].
            lengths: int32 [B], samples; 0 marks a padding row.

        Returns:
            The raw scores and the mapped ones, float32 [B, S] each, NaN for a pair without a score.
        """
        pair = jax.lax.stop_gradient((reference, estimate))
        raw, mapped = None, None
        if self._on_host:
            maps = [self._scores[name].normalise for name in self._on_host]
            raw, mapped = score_in_step(self._pool, *pair, lengths, self._mesh, self._on_host, maps)
        found = self._on_devices(*pair, lengths)
        mapped_there = {name: self._scores[name].normalise(found[name]) for name in found}
        return self._in_order(raw, found), self._in_order(mapped, mapped_there)

    def submit(
        self, reference: jax.Array, estimate: jax.Array, lengths: jax.Array
    ) -> Callable[[], jax.Array]:
        """Starts to score a batch and returns at once. Arguments as for `in_step`.

        Returns:
            A function that waits for the raw scores float32 [B, S].
        """
        on_devices = self._device_program(reference, estimate, lengths)
        pending = (
            submit_shards(self._pool, reference, estimate, lengths, self._on_host)
            if self._on_host
            else None
        )

        return lambda: self._join(pending.collect() if pending else None, on_devices)

    def _on_devices(
        self, reference: jax.Array, estimate: jax.Array, lengths: jax.Array
    ) -> dict[str, jax.Array]:
        """Returns the raw scores float32 [B] that the devices compute, by name."""
        return {
            name: score(reference, estimate, lengths) for name, score in self.device_scores.items()
        }

    def _in_order(self, on_host: jax.Array | None, on_devices: dict[str, jax.Array]) -> jax.Array:
        """Returns float32 [B, S] in the order of the names."""
        columns = dict(on_devices)
        if on_host is not None:
            columns |= {name: on_host[:, place] for place, name in enumerate(self._on_host)}
        return jnp.stack([columns[name] for name in self.names], axis=1)

    def normalise(self, raw: np.ndarray) -> np.ndarray:
        """Maps raw scores float32 [B, S] to about [0, 1]; NaN stays NaN."""
        return map_columns([self._scores[name].normalise for name in self.names], raw)


def find_device_score(name: str) -> DeviceScore | None:
    """Returns a score as a JAX function, or None if it has none.

    The functions of built-in scores are in `jaxgan.scores.device`; a user's own score has it as its
    attribute `device`.

    Args:
        name: the name of the score, as in a config.

    Raises:
        UserError: there is no such score.
    """
    return get(name).device or getattr(device, name, None)


def choose_place(where: str, name: str) -> str:
    """Returns "host" or "device": what `config.scoring.where` means for a score.

    Args:
        where: "host"; "device"; or "auto": the devices if they are accelerators and the score has a
            JAX function.
        name: the name of the score.
    """
    if where != "auto":
        return where
    accelerated = jax.default_backend() != "cpu"
    return "device" if accelerated and find_device_score(name) else "host"


def sharded_device_score(name: str, mesh: Mesh) -> DeviceScore:
    """Returns a score's JAX function, with every device computing its own rows.

    Raises:
        UserError: the score has no JAX function.
    """
    score = find_device_score(name)
    if score is None:
        raise UserError(
            f"the score {name} has no JAX function (docs/scores.md), so the devices cannot compute "
            "it; choose another config.score, or config.scoring.where=host"
        )
    return jax.shard_map(score, mesh=mesh, in_specs=ROWS, out_specs=ROWS)
