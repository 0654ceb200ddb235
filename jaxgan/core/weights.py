"""Exported weights: what a run has trained, without its optimizers.

A folder with config.json and weights.safetensors can be read like that of a run: by enhance.py,
eval.py and `jaxgan.load`, and by training that starts from it (`config.init_from`). The arrays are
bfloat16, which halves the file. Reading it runs no code.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict
from safetensors import safe_open
from safetensors.numpy import save

from jaxgan.core import checksums, files
from jaxgan.core import config as configs
from jaxgan.core.checkpoint import readable
from jaxgan.core.errors import UserError
from jaxgan.core.state import Player

FILE = "weights.safetensors"


def exist(folder: epath.Path) -> bool:
    """Returns whether a folder holds exported weights."""
    return (folder / FILE).exists()


def write(folder: epath.Path, config: ConfigDict, players: Mapping[str, Player]) -> None:
    """Writes weights.safetensors, config.json and their checksums.

    Args:
        folder: exists, and holds neither a run nor anything else.
        config: the config of the run.
        players: players with dictionaries of floating-point arrays. Their deployed parameters and
            their other variables are written.
    """
    trees = {
        name: {"params": player.deployed, "state": player.state} for name, player in players.items()
    }
    arrays: dict[str, Any] = flatten_dict(jax.device_get(trees), sep="/")
    rounded = {name: np.asarray(array).astype(jnp.bfloat16) for name, array in arrays.items()}
    files.replace(folder / FILE, save(rounded))
    configs.write(config, folder)
    checksums.write(folder)


def read(folder: epath.Path) -> dict[str, Player]:
    """Returns the players of exported weights, with float32 arrays.

    Raises:
        UserError: the file is damaged, or the folder is in an object store.
    """
    if files.is_remote(folder):
        raise UserError(f"{folder}: copy exported weights to a local folder")
    path = folder / FILE
    with readable(path, "restore the file"):
        checksums.check(folder, (FILE,))
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in names}
        trees = unflatten_dict(arrays, sep="/")
        return {
            name: Player(params=tree["params"], state=tree.get("state", {}), opt_state=None)
            for name, tree in trees.items()
        }
