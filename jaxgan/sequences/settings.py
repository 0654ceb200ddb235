"""The settings of sequence configs: allowed values, and checks of several settings together."""

import math
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings
from jaxgan.core.errors import UserError

CHOICES: Mapping[str, tuple[Any, ...]] = {
    **settings.CHOICES,
    "judge": ("discriminator", "constant", "random"),
}
"""The allowed values of a key."""
RANGES: Mapping[str, tuple[float, float]] = {
    **settings.RANGES,
    "batch_size": (2, math.inf),
    "pretrain_rounds": (0, math.inf),
    "discriminator_rounds": (0, math.inf),
    "g_steps": (1, math.inf),
    "d_steps": (0, math.inf),
    "epochs": (1, math.inf),
    "discriminator_batches": (0, math.inf),
    "roll_outs": (1, math.inf),
    "roll_out_decay": (0, 0.99999),
    "scheduled_sampling": (0, 1),
    "generator.embedding": (1, math.inf),
    "generator.hidden": (1, math.inf),
    "discriminator.embedding": (1, math.inf),
    "discriminator.dropout": (0, 0.99),
    "generator_learning_rate": (0, math.inf),
    "policy_learning_rate": (0, math.inf),
    "discriminator_learning_rate": (0, math.inf),
    "gradient_clip": (0, math.inf),
    "penalty": (0, math.inf),
    "gradient_penalty": (0, math.inf),
    "data.seed": (0, math.inf),
    "data.oracle_seed": (0, math.inf),
    "data.count": (1, math.inf),
    "data.held_out": (2, math.inf),
    "data.vocabulary": (0, math.inf),
    "data.length": (0, math.inf),
    "validation.samples": (2, math.inf),
    "validation.bleu_samples": (2, math.inf),
    "validation.bleu_order": (2, math.inf),
}
"""The lowest and the highest allowed value of a key."""
OBJECTIVE_RANGES: Mapping[str, tuple[float, float]] = {**RANGES, "share": (0, 1)}
"""The same for a system whose reward contains an objective."""
MAY_CHANGE = ("scoring.workers", "scoring.deadline_seconds")
"""Keys that influence no number, so a run may continue with other values for them."""


def check(config: ConfigDict, mesh: Mesh, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises UserError, naming the key, if a setting has an invalid value.

    Args:
        config: the config of the run.
        mesh: the devices.
        ranges: `RANGES` or `OBJECTIVE_RANGES`.
    """
    configs.check_values(config, CHOICES, ranges)
    sizes = config.discriminator
    if len(sizes.widths) != len(sizes.filters) or min(*sizes.widths, *sizes.filters, 1) < 1:
        raise UserError(
            f"config.discriminator.widths={sizes.widths} and config.discriminator.filters="
            f"{sizes.filters}: give one of each, 1 or more, for every convolution"
        )
    settings.check_devices(config, mesh)
    if config.discriminator_rounds and config.judge != "discriminator":
        raise UserError(
            f"config.judge={config.judge} uses no discriminator: config.discriminator_rounds="
            f"{config.discriminator_rounds} must be 0"
        )
    if config.discriminator_rounds and config.get("share") == 0:
        raise UserError(
            "config.share=0 uses no discriminator: config.discriminator_rounds="
            f"{config.discriminator_rounds} must be 0"
        )
