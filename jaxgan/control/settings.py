"""The settings that every config of control has, and the values that they may take."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings
from jaxgan.core.errors import UserError

if TYPE_CHECKING:  # configs import this file, and mistakes in them are reported before jax starts
    from jax.sharding import Mesh

CHOICES: Mapping[str, tuple[Any, ...]] = settings.CHOICES
"""The allowed values of a key."""
RANGES: Mapping[str, tuple[float, float]] = {
    **settings.RANGES,
    "environments": (1, math.inf),
    "seeds": (1, math.inf),
    "gamma": (0, 1),
    "learning_rate": (0, math.inf),
    "max_gradient_norm": (0, math.inf),
    "validation.episodes": (1, math.inf),
}
"""The lowest and the highest allowed value of a key."""


def run_settings(recipe: str, rounds: int, batch_size: int) -> ConfigDict:
    """Returns the settings that every config of control has, with their usual values.

    Args:
        recipe: a name of `jaxgan.recipes`, or the import path of a system's module.
        rounds: how many rounds the run has.
        batch_size: transitions of a minibatch.
    """
    config = settings.run_settings(recipe, rounds, batch_size)
    # CartPole-v1 | Acrobot-v1 | Catch | Corridor-5 | Corridor-10 | Corridor-20 | Random |
    # gymnax:NAME
    config.env = "CartPole-v1"
    config.environments = 1  # how many are played at the same time
    config.steps_per_round = 10_000  # steps of all environments together
    # Independent runs in one program: seed, seed + 1, ...; for small networks on one device.
    config.seeds = 1
    config.validation.episodes = 32  # how many episodes each validation plays
    return config


def check(
    config: ConfigDict,
    mesh: "Mesh",
    choices: Mapping[str, tuple[Any, ...]] = CHOICES,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
) -> None:
    """Raises UserError, naming the key, if a setting has an invalid value.

    Args:
        config: the config of the run.
        mesh: the devices.
        choices: `CHOICES` and those of the system.
        ranges: `RANGES` and those of the system.
    """
    # Environments are programs of jax, which a config must not import.
    from jaxgan.control.environments.named import make_environment

    configs.check_values(config, choices, ranges)
    make_environment(config.env)
    settings.check_devices(config, mesh)


def check_multiple(config: ConfigDict, key: str, of: str) -> None:
    """Raises UserError unless the value of one key is a multiple of that of another one."""
    value, divisor = configs.flat(config)[key], configs.flat(config)[of]
    if value % divisor:
        raise UserError(f"config.{key}={value}: must be a multiple of config.{of}={divisor}")
