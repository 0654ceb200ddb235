"""Settings that make no sense are refused by name, before anything is compiled."""

import math
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.errors import UserError

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "dtype": ("float32", "bfloat16"),
    "judge": ("discriminator", "constant", "random"),
}
RANGES: Mapping[str, tuple[float, float]] = {
    "rounds": (1, math.inf),
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
    "data.count": (1, math.inf),
    "data.held_out": (2, math.inf),
    "data.vocabulary": (0, math.inf),
    "data.length": (0, math.inf),
    "validation.samples": (2, math.inf),
    "validation.bleu_samples": (2, math.inf),
    "validation.bleu_order": (2, math.inf),
}
"""The least and the greatest value of a key."""


def check(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError, naming the key, for a value that makes no sense."""
    configs.check_values(config, CHOICES, RANGES)
    sizes = config.discriminator
    if len(sizes.widths) != len(sizes.filters) or min(*sizes.widths, *sizes.filters, 1) < 1:
        raise UserError(
            f"config.discriminator.widths={sizes.widths} and config.discriminator.filters="
            f"{sizes.filters}: give one of each, 1 or more, for every convolution"
        )
    if config.batch_size % mesh.size:
        raise UserError(
            f"config.batch_size={config.batch_size}: must be a multiple of the {mesh.size} devices"
        )
    if config.judge != "discriminator" and config.discriminator_rounds:
        raise UserError(
            f"config.judge={config.judge} asks no discriminator: config.discriminator_rounds="
            f"{config.discriminator_rounds} must be 0"
        )


def check_organ(config: ConfigDict) -> None:
    """Raises UserError, naming the key, for a value of ORGAN's own that makes no sense."""
    configs.check_values(config, {}, {"share": (0, 1)})
    if config.share == 0 and config.discriminator_rounds:
        raise UserError(
            "config.share=0 asks no discriminator: config.discriminator_rounds="
            f"{config.discriminator_rounds} must be 0"
        )
