"""The table of all systems: the name of a recipe -> the module that declares it.

Nothing here imports a system before it is used.
"""

import importlib
from collections.abc import Callable
from typing import Any

from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import settings
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.recipe import Declaration, Recipe

RECIPES = {
    "acgan": "jaxgan.images.systems.acgan",
    "avse": "jaxgan.speech.systems.avse",
    "bad_gan": "jaxgan.images.systems.bad_gan",
    "began": "jaxgan.images.systems.began",
    "cgan": "jaxgan.speech.systems.cgan",
    "chess_style": "jaxgan.control.systems.chess_style",
    "classifier": "jaxgan.images.systems.classifier",
    "composite": "jaxgan.images.systems.composite",
    "conditional_gan": "jaxgan.images.systems.conditional_gan",
    "contrast_gan": "jaxgan.images.systems.contrast_gan",
    "crn": "jaxgan.images.systems.crn",
    "cyclegan": "jaxgan.images.systems.cyclegan",
    "distance_gan": "jaxgan.images.systems.distance_gan",
    "dqn": "jaxgan.control.systems.dqn",
    "dtn": "jaxgan.images.systems.dtn",
    "ebgan": "jaxgan.images.systems.ebgan",
    "enhancer": "jaxgan.speech.systems.enhancer",
    "gan": "jaxgan.images.systems.gan",
    "gran": "jaxgan.images.systems.gran",
    "graves_rnn": "jaxgan.sequences.systems.graves_rnn",
    "improved_gan": "jaxgan.images.systems.improved_gan",
    "infogan": "jaxgan.images.systems.infogan",
    "lapgan": "jaxgan.images.systems.lapgan",
    "loss_sensitive": "jaxgan.images.systems.loss_sensitive",
    "mask_ppo": "jaxgan.speech.systems.mask_ppo",
    "mask_regression": "jaxgan.speech.systems.mask_regression",
    "metricgan": "jaxgan.speech.systems.metricgan",
    "organ": "jaxgan.sequences.systems.organ",
    "pix2pix": "jaxgan.images.systems.pix2pix",
    "policy_gradient": "jaxgan.speech.systems.policy_gradient",
    "ppo": "jaxgan.control.systems.ppo",
    "score_loss": "jaxgan.speech.systems.score_loss",
    "segan": "jaxgan.speech.systems.segan",
    "semi_supervised": "jaxgan.images.systems.semi_supervised",
    "seqgan": "jaxgan.sequences.systems.seqgan",
    "sketch_retrieval": "jaxgan.images.systems.sketch_retrieval",
    "srgan": "jaxgan.images.systems.srgan",
    "stackgan": "jaxgan.images.systems.stackgan",
    "triple_gan": "jaxgan.images.systems.triple_gan",
    "vae": "jaxgan.images.systems.vae",
    "vari_gan": "jaxgan.images.systems.vari_gan",
    "wgan": "jaxgan.images.systems.wgan",
    "wgan_gp": "jaxgan.images.systems.wgan_gp",
}


COMMANDS = ("evaluate", "enhance", "sample", "translate", "compare", "load")
"""What a trained run may be able to do, as attributes of a `Declaration`."""


def declaration(config: ConfigDict) -> Declaration:
    """Returns what the system that `config.recipe` names can do.

    Args:
        config: the config of a run; its recipe is a name in `RECIPES`, or the import path of a
            module with a DECLARATION.

    Raises:
        UserError: there is no such system.
    """
    name = config.get("recipe")
    path = RECIPES.get(name, name if "." in str(name) else None)
    if path is None:
        known = ", ".join(sorted(RECIPES))
        raise UserError(f"config.recipe={name!r}: choose one of {known}, or an import path")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not path.startswith(str(error.name)):
            raise
        raise UserError(f"config.recipe={name!r}: there is no module {error.name}") from error
    found = getattr(module, "DECLARATION", None)
    if not isinstance(found, Declaration):
        raise UserError(f"config.recipe={name!r}: the module {path} has no DECLARATION")
    return found


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: there is no such system, or its data or settings cannot be used.
    """
    return declaration(config).make(config, mesh)


def command(workdir: epath.PathLike, name: str) -> Callable[..., Any]:
    """Returns what a command does with a trained run: an attribute of the run's `Declaration`.

    Args:
        workdir: the run's folder.
        name: one of `COMMANDS`.

    Raises:
        UserError: the folder holds no run, one of its settings has an invalid value, or its
            system cannot do that.
    """
    folder = absolute(workdir)
    config = configs.read(folder)
    settings.check(config)
    declared = declaration(config)
    if declared.check:
        declared.check(config)
    found: Callable[..., Any] | None = getattr(declared, name)
    if found is None:
        able = [other for other in COMMANDS if getattr(declared, other)]
        raise UserError(
            f"{folder} holds a run of {config.recipe!r}, which cannot {name}; "
            f"it can {' and '.join(able) or 'only train'}"
        )
    return found
