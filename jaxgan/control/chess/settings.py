"""The settings of runs that learn from chess games, and the values that they may take."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings

if TYPE_CHECKING:
    from jax.sharding import Mesh

CHOICES: Mapping[str, tuple[Any, ...]] = {
    **settings.CHOICES,
    "data.kind": ("scripted", "pgn"),
}
"""The allowed values of a key."""
RANGES: Mapping[str, tuple[float, float]] = {
    **settings.RANGES,
    "validation.positions": (1, math.inf),
    "evaluator_learning_rate": (0, math.inf),
    "discriminator_learning_rate": (0, math.inf),
    "weight_decay": (0, math.inf),
    "discriminator_steps": (1, math.inf),
    "alternatives": (1, math.inf),
    "style_weight": (0, math.inf),
    "generated_share": (0, 1),
    "data.count": (4, math.inf),
    "data.seed": (0, math.inf),
    "data.valid_share": (0, 1),
    "data.test_share": (0, 1),
}
"""The lowest and the highest allowed value of a key."""


def run_settings(recipe: str, rounds: int, batch_size: int) -> ConfigDict:
    """Returns the settings that every run on chess games has, with their usual values.

    Args:
        recipe: a name of `jaxgan.recipes`.
        rounds: how many rounds the run has.
        batch_size: positions of the player, and as many of others, in a minibatch.
    """
    config = settings.run_settings(recipe, rounds, batch_size)
    config.steps_per_round = 100  # batches in a round; chosen here
    config.validation.positions = 500  # positions of the player in which all legal moves are valued
    config.data = ConfigDict()
    config.data.kind = "scripted"  # scripted games, or pgn: those of PGN files
    config.data.count = 400  # how many scripted games to generate
    config.data.seed = 0  # for scripted games
    config.data.root = ""  # a PGN file, or a folder of them; also .pgn.gz, .pgn.bz2 and .pgn.xz
    config.data.player = ""  # the name, or a part of it, as the PGN files spell it
    config.data.other = ""  # the player to compare with, or part of the name; empty: all others
    config.data.valid_share = 0.1  # share of the games, for validation
    config.data.test_share = 0.2  # share of the games, for eval.py
    config.data.strict = False  # whether a game that cannot be used is an error
    return config


def check(config: ConfigDict, mesh: "Mesh") -> None:
    """Raises UserError, naming the key, if a setting has an invalid value.

    Args:
        config: the config of the run.
        mesh: the devices.
    """
    configs.check_values(config, CHOICES, RANGES)
    settings.check_devices(config, mesh)
