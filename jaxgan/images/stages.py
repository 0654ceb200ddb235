"""Systems of two stages that learn in turn: the second one refines what the first one makes.

`config.stages` says which stage a run trains: "1", or "2" in a run whose first stage comes from
`config.init_from`, or "all": the first one for `config.first_rounds` rounds, then the second one.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.images.networks.dcgan import SMALLEST

STAGES = FIRST, SECOND = "1", "2"
CHOICES: dict[str, tuple[Any, ...]] = {"stages": ("all", *STAGES), "factor": (2, 4, 8)}
RANGES: dict[str, tuple[float, float]] = {"first_rounds": (1, math.inf)}


@struct.dataclass
class Staged:
    """The batch of a step of one stage. Batches of different stages have separate programs.

    Attributes:
        rows: the batch.
        stage: one of `STAGES`.
    """

    rows: Any
    stage: str = struct.field(pytree_node=False)


def trained(config: ConfigDict) -> tuple[str, ...]:
    """Returns the stages that a run trains, in their order."""
    return STAGES if config.stages == "all" else (config.stages,)


def stage_of(config: ConfigDict, number: int) -> str:
    """Returns the stage that learns in a round, 1, 2, ..."""
    if config.stages == "all":
        return FIRST if number <= config.first_rounds else SECOND
    return str(config.stages)


def staged(config: ConfigDict, number: int, batches: Sequence[Any]) -> list[Staged]:
    """Returns the batches of a round, each with the stage that learns from it."""
    return [Staged(batch, stage_of(config, number)) for batch in batches]


def phase_starts(config: ConfigDict) -> tuple[int, ...]:
    """Returns the round from which the other stage learns, as `Recipe.phase_starts`."""
    return (config.first_rounds + 1,) if config.stages == "all" else ()


def small_side(config: ConfigDict, shape: Sequence[int]) -> int:
    """Returns the side of images of the first stage.

    Args:
        config: the config of a run; its `factor` says how much smaller they are.
        shape: (H, W, C) of an image of the second stage.

    Raises:
        UserError: images of this shape cannot be reduced so far.
    """
    side, rest = divmod(shape[0], config.factor)
    if len(shape) != 3 or shape[0] != shape[1] or rest or side <= SMALLEST:
        raise UserError(
            f"config.factor={config.factor}: images of the shape {list(shape)} must be square, and "
            f"their side a multiple of it above its {SMALLEST}-fold; choose another factor or data"
        )
    return side


def enlarge(images: jax.Array, side: int) -> jax.Array:
    """Returns images of a side, interpolated linearly, float32 [B, side, side, C]; pure."""
    return jax.image.resize(images, (len(images), side, side, images.shape[-1]), "linear")


def of_part(optimizer: optax.GradientTransformation, part: str) -> optax.GradientTransformation:
    """Returns the optimizer of one part of a player's parameters; all others stay as they are.

    Each part has a state of its own, so a part that moves later starts like a fresh one.

    Args:
        optimizer: the optimizer of the part.
        part: a key of the parameters.
    """

    def init(params: PyTree) -> PyTree:
        return {name: optimizer.init(each) for name, each in params.items()}

    def update(gradients: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        updates = jax.tree.map(jnp.zeros_like, gradients)
        moved, of_moved = optimizer.update(gradients[part], state[part], params[part])
        return {**updates, part: moved}, {**state, part: of_moved}

    return optax.GradientTransformation(init, update)
