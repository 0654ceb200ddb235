"""The settings that every run has, and the values that they may take."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.errors import UserError

if TYPE_CHECKING:  # configs import this file, and mistakes in them are reported before jax starts
    from jax.sharding import Mesh

CHOICES: Mapping[str, tuple[Any, ...]] = {"dtype": ("float32", "bfloat16")}
"""The allowed values of a key."""
RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, math.inf),
    "rounds": (1, math.inf),
    "batch_size": (1, math.inf),
    "steps_per_round": (1, math.inf),
    "validation.every": (1, math.inf),
    "validation.patience": (0, math.inf),
    "checkpoint.every": (1, math.inf),
}
"""The lowest and the highest allowed value of a key; not every run has `steps_per_round`."""
MAY_CHANGE = ("checkpoint.every", "debug_nans", "tracker", "validation.patience")
"""Keys that influence no number, so a run may continue with other values for them."""


def run_settings(recipe: str, rounds: int, batch_size: int) -> ConfigDict:
    """Returns the settings that every run has, with their usual values.

    Args:
        recipe: a name of `jaxgan.recipes`, or the import path of a system's module.
        rounds: how many rounds the run has.
        batch_size: rows of every batch.
    """
    config = ConfigDict()
    config.recipe = recipe
    config.rounds = rounds  # logs, validations and checkpoints come after a round
    config.batch_size = batch_size  # rows of a minibatch, those of all devices together
    config.seed = 0  # for the initial networks and all random choices in training
    config.dtype = "float32"  # or bfloat16: of the networks' computation, not of parameters
    config.init_from = ""  # the folder of a run whose networks this one starts from
    config.init_checkpoint = "best"  # the checkpoint of that run: best, last or a round
    config.tracker = ""  # module:function that receives each row of metrics; docs/trackers.md
    config.debug_nans = False  # raise at the operation that made a NaN; slow
    config.validation = ConfigDict()
    config.validation.every = 1  # rounds; the last round is always validated
    # The run ends early after this many validations without a better one; 0: never.
    config.validation.patience = 0
    config.checkpoint = ConfigDict({"every": 5})  # rounds; the best and the last are kept
    return config


def check(config: ConfigDict) -> None:
    """Raises UserError, naming the key, if a setting of the run has an invalid value.

    A key that the config lacks is not checked.
    """
    configs.check_values(config, CHOICES, RANGES)


def check_devices(config: ConfigDict, mesh: "Mesh") -> None:
    """Raises UserError, naming the key, unless the devices can share the work of a run.

    Each device gets an equal part of a batch. Several seeds need a single device.

    Args:
        config: the config of the run.
        mesh: the devices.
    """
    if config.batch_size % mesh.size:
        raise UserError(
            f"config.batch_size={config.batch_size}: must be a multiple of the {mesh.size} devices"
        )
    if config.get("seeds", 1) > 1 and mesh.size > 1:
        raise UserError(
            f"config.seeds={config.seeds}: several seeds share one device, and there are "
            f"{mesh.size}; start one run per seed with config.seed"
        )
