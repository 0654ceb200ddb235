"""The error of a classifier on held-out images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Player, Players
from jaxgan.images.data.batches import Resident, gather, place
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.validation import MeasurePlayers

Classify = Callable[[Player, jax.Array], jax.Array]
"""(the classifier, whose `params` are those to use; images as `batches.gather` gives them, float32
[B, ...]) -> one number for each class, float32 [B, classes], the highest for the answer; pure."""


def error_of(
    name: str, classify: Classify, valid: Images, batch_size: int, mesh: Mesh
) -> MeasurePlayers:
    """Returns what measures `eval/error`, the share of held-out images that are classified wrongly.

    The objective is the negative error. So the best checkpoint has the least error on the held-out
    data, which favours it a little; papers report the last one.

    Args:
        name: of the player that classifies; its running average is used if it has one.
        classify: see `Classify`.
        valid: the held-out data, all of them labelled.
        batch_size: images in a call. It matters to a network that compares the images of a batch.
        mesh: the devices.
    """
    count = len(valid)
    index = np.resize(np.arange(count, dtype=np.int32), (-(-count // batch_size), batch_size))

    def error(player: Player, index: jax.Array, data: Resident) -> jax.Array:
        def answers(rows: jax.Array) -> jax.Array:
            return jnp.argmax(classify(player, gather(data, rows)[0]), axis=-1)

        found = jax.lax.map(answers, index).reshape(-1)[:count]
        return jnp.mean((found != data.labels).astype(jnp.float32))

    program = Program(error, mesh, out_shardings=devices.replicated(mesh))
    data = place(valid, mesh)
    placed = devices.put_replicated(index, mesh)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        requested = program(players[name].without_training(), placed, data)

        def wait() -> tuple[dict[str, float], float]:
            value = float(jax.device_get(requested))
            return {"eval/error": value}, -value

        return wait

    return start
