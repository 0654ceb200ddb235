"""The table of all systems: name -> what makes its recipe."""

from collections.abc import Callable

from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.sequences.systems import organ, seqgan
from jaxgan.speech.systems import (
    cgan,
    mask_regression,
    metricgan,
    policy_gradient,
    score_loss,
    segan,
)

RECIPES: dict[str, Callable[[ConfigDict, Mesh], Recipe]] = {
    "cgan": cgan.make,
    "mask_regression": mask_regression.make,
    "metricgan": metricgan.make,
    "organ": organ.make,
    "policy_gradient": policy_gradient.make,
    "score_loss": score_loss.make,
    "segan": segan.make,
    "seqgan": seqgan.make,
}


def calls_host(config: ConfigDict) -> bool:
    """Whether steps of the system that a config describes call the host and wait for its scores."""
    scoring = config.get("scoring", ConfigDict())
    return bool(scoring.get("where", "device") != "device" and not scoring.get("delay", 0))


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """The recipe that `config.recipe` names.

    Raises:
        UserError: there is none of that name, or its data or settings cannot be used.
    """
    if config.recipe not in RECIPES:
        known = ", ".join(sorted(RECIPES))
        raise UserError(f"config.recipe={config.recipe!r}: choose one of {known}")
    return RECIPES[config.recipe](config, mesh)
