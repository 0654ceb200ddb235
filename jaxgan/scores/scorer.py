"""Where training's scores are computed: by the host's worker processes, or on the devices.

A recipe calls a `Scorer` and need not know which. The host knows every score; the devices know
those that have a twin in JAX.
"""

import functools
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from jaxgan.core.errors import UserError
from jaxgan.scores import device
from jaxgan.scores.bridge import DATA, score_in_step, submit_shards
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import get

Collect = Callable[[], jax.Array]
"""Waits for raw scores float32 [B], NaN where there is none, placed as the lengths were."""
Scorer = Callable[[jax.Array, jax.Array, jax.Array], Collect]
"""Starts to score a batch: (reference [B, T], estimate [B, T], both int16 or float32, lengths int32
[B], where 0 marks a row without a score)."""
Twin = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""The same arguments -> raw scores float32 [B]: a JAX function."""

PLACES = ("host", "device", "auto")


def find_twin(name: str) -> Twin | None:
    """A score as a JAX function; None where it has none.

    Built-in scores have theirs in `jaxgan.scores.device`; a score of the user's has it as its
    attribute `device`.

    Args:
        name: of the score, as in a config.

    Raises:
        UserError: there is no such score.
    """
    return get(name).device or getattr(device, name, None)


def choose_place(where: str, name: str) -> str:
    """What `config.scoring.where` means for a score: "host" or "device".

    Args:
        where: "host"; "device"; or "auto": the devices where they are accelerators and the score
            has a twin.
        name: of the score.
    """
    if where != "auto":
        return where
    accelerated = jax.default_backend() != "cpu"
    return "device" if accelerated and find_twin(name) else "host"


def sharded_twin(name: str, mesh: Mesh) -> Twin:
    """A score's twin, each device computing its own rows; for use inside a jitted function.

    Raises:
        UserError: the score has no twin.
    """
    twin = find_twin(name)
    if twin is None:
        raise UserError(
            f"the score {name} has no JAX function (docs/scores.md), and the devices are to "
            "compute it; choose another config.score, or config.scoring.where=host"
        )
    return jax.shard_map(twin, mesh=mesh, in_specs=DATA, out_specs=DATA)


def score_on_devices(name: str, mesh: Mesh) -> Scorer:
    """Scores by the twin, behind what the devices are doing now. Raises as `sharded_twin`."""
    return _by_program(sharded_twin(name, mesh))


def score_on_host(name: str, pool: ScorePool, mesh: Mesh, delay: int) -> Scorer:
    """Scores by worker processes.

    Args:
        name: one of the pool's scores.
        pool: the worker processes.
        mesh: the devices that batches are divided over.
        delay: 0, asked for by a compiled program, which waits for them; 1, computed while the
            devices go on.
    """
    if delay:
        return lambda reference, estimate, lengths: (
            submit_shards(pool, reference, estimate, lengths, (name,)).collect
        )
    return _by_program(functools.partial(score_in_step, pool, mesh=mesh, score=name))


def _by_program(score: Twin) -> Scorer:
    program = jax.jit(score)

    def start(reference: jax.Array, estimate: jax.Array, lengths: jax.Array) -> Collect:
        scores = program(reference, estimate, lengths)
        return lambda: scores

    return start
