"""Measures of the layers of generated images: their opacity, and whether the last is the object."""

import math
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Player, Players
from jaxgan.images.data import overlays
from jaxgan.images.data.batches import to_bytes
from jaxgan.images.evaluation.validation import BATCH, MeasurePlayers

Draw = Callable[[Player, jax.Array, int], tuple[jax.Array, jax.Array]]
"""(the generator, key, count) -> images float32 [count, H, W, C] from -1 to 1, and the opacities of
their layers, float32 [count, layers, H, W]; pure."""
OPAQUE = 0.5
"""The opacity from which a layer counts as present in a pixel."""


def mean_iou(found: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the mean intersection over union of pairs of masks, from 0 to 1.

    Args:
        found: bool [n, H, W].
        wanted: bool [n, H, W]; empty ones do not count.

    Returns:
        NaN if all of the second ones are empty.
    """
    known = wanted.any(axis=(1, 2))
    if not known.any():
        return math.nan
    both, either = (
        np.sum(joined[known], axis=(1, 2)) for joined in (found & wanted, found | wanted)
    )
    return float(np.mean(both / either))


def measure_layers(draw: Draw, masks: bool, seed: int, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the layers of generated images; it has no objective.

    `eval/opacity_K` is the mean opacity of layer K, from 1, the lowest. For pictures whose objects
    can be recognised by their colour there are also `eval/mask_iou`, of the last layer with the
    object in its image, and `eval/mask_iou_random_layer`, the mean over all layers, which is what a
    random assignment of layers gives.

    Args:
        draw: see `Draw`.
        masks: whether the data are `overlays`.
        seed: the seed of the latent codes, the same in every round.
        mesh: the devices.
    """

    def batch(player: Player, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        images, opacities = draw(player, key, BATCH)
        return to_bytes(images), opacities

    program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
    key = devices.put_replicated(jax.random.key(seed), mesh)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        requested = program(players["generator"].without_training(), key)

        def wait() -> tuple[dict[str, float], float]:
            images, opacities = jax.device_get(requested)
            means = opacities.mean(axis=(0, 2, 3))
            metrics = {f"eval/opacity_{k}": float(mean) for k, mean in enumerate(means, start=1)}
            if masks:
                wanted = overlays.mask(images)
                layers = np.moveaxis(opacities >= OPAQUE, 1, 0)
                found = [mean_iou(layer, wanted) for layer in layers]
                metrics["eval/mask_iou"] = found[-1]
                metrics["eval/mask_iou_random_layer"] = float(np.mean(found))
            return metrics, math.nan

        return wait

    return start
