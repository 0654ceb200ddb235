"""How much detail generators of the levels of a pyramid add to real images."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Player, Players
from jaxgan.images.data.batches import to_floats
from jaxgan.images.evaluation.validation import BATCH, MeasurePlayers
from jaxgan.images.pyramid import expand, levels

Refine = Callable[[Player, list[jax.Array], jax.Array], Mapping[int, jax.Array]]
"""(the generator; real images at every level, float32 [B, H, W, C], from the finest; key) -> by
level, images that are generated above the next coarser level of the real ones; pure."""


def measure_detail(
    refine: Refine, count: int, values: np.ndarray, seed: int, mesh: Mesh
) -> MeasurePlayers:
    """Returns a function that measures the detail of generators; it has no objective.

    `eval/detail_K` is the energy of the bands that are generated at level K over that of real
    images, both above the same real image of the next coarser level: 1 is as sharp as real images,
    and 0 is that level without a band. It is NaN if real images have no detail.

    Args:
        refine: see `Refine`.
        count: the number of the levels.
        values: held-out images, uint8 [n, H, W, C], of which the first ones are used.
        seed: the seed of the noise, the same in every round.
        mesh: the devices.
    """

    def batch(player: Player, values: jax.Array, key: jax.Array) -> list[list[jax.Array]]:
        every = levels(to_floats(values), count)
        made = refine(player, every, key)
        energies = []
        for level, real in enumerate(every[:-1]):
            blurred = expand(every[level + 1], real.shape[1:3])
            energies.append([jnp.mean((images - blurred) ** 2) for images in (made[level], real)])
        return energies

    program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
    placed = devices.put_replicated((values[:BATCH], jax.random.key(seed)), mesh)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        requested = program(players["generator"].without_training(), *placed)

        def wait() -> tuple[dict[str, float], float]:
            energies = enumerate(jax.device_get(requested))
            metrics = {
                f"eval/detail_{k}": float(made / real) if real else math.nan
                for k, (made, real) in energies
            }
            return metrics, math.nan

        return wait

    return start
