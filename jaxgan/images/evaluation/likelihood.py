"""Bounds of the likelihood of held-out data under a model with latent codes."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Player, Players
from jaxgan.images.data.batches import cover
from jaxgan.images.evaluation.validation import MeasurePlayers
from jaxgan.methods.variational import importance_bound

BATCH = 100
"""The most samples of the data that one call of a program measures."""

LogWeight = Callable[[dict[str, Player], jax.Array, jax.Array], jax.Array]
"""(players, data as `Images.values` has them [B, ...], key) -> log p(x, z) - log q(z|x) [B] for one
z from q for each x; pure."""


def measure_likelihood(
    log_weight: LogWeight, values: np.ndarray, draws: int, seed: int, mesh: Mesh
) -> MeasurePlayers:
    """Returns a function that measures two upper bounds of the mean of -log p(x), in nats.

    `eval/negative_elbo` is minus the evidence lower bound; the objective is its negative.
    `eval/negative_importance_bound` is the bound of `importance_bound`, of the same draws; it is at
    most the first one.

    Args:
        log_weight: see `LogWeight`.
        values: uint8 [n, H, W, C] or float32 [n, 2], the held-out data.
        draws: the number of draws of z for each x.
        seed: the seed of the draws, the same in every round.
        mesh: the devices.
    """

    def batch(players: dict[str, Player], rows: jax.Array, key: jax.Array) -> jax.Array:
        # One draw after the other: all of them at once would need draws times the memory.
        keys = jax.random.split(key, draws)
        weights = jax.lax.map(lambda each: log_weight(players, rows, each), keys)
        return jax.numpy.stack([weights.mean(axis=0), importance_bound(weights)])

    program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
    count, rows = len(values), cover(len(values), BATCH)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        keys = jax.random.split(jax.random.key(seed), len(rows))
        inputs = [(values[chosen], key) for chosen, key in zip(rows, keys, strict=True)]
        placed = devices.put_replicated(inputs, mesh)
        deployed = {name: player.without_training() for name, player in players.items()}
        requested = [program(deployed, *each) for each in placed]

        def wait() -> tuple[dict[str, float], float]:
            found = np.concatenate(jax.device_get(requested), axis=1)[:, :count]
            elbo, bound = (float(value) for value in found.astype(np.float64).mean(axis=1))
            metrics = {"eval/negative_elbo": -elbo, "eval/negative_importance_bound": -bound}
            return metrics, elbo

        return wait

    return start
