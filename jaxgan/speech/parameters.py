"""A file with the parameters and the config of a trained mask network, which only needs NumPy.

It is an .npz archive: the array `config` is the run's config as JSON, and every other array is a
parameter of the generator, named by its path, such as `Dense_0/kernel`.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree

CONFIG = "config"


def write(path: str | os.PathLike[str], config: ConfigDict, params: PyTree) -> None:
    """Writes the parameters of a generator, a tree of arrays, and the config of its run."""
    arrays: dict[str, Any] = flatten_dict(jax.device_get(params), sep="/")
    arrays[CONFIG] = json.dumps(configs.to_plain(config))
    with Path(path).open("wb") as file:
        np.savez(file, **arrays)


def read(path: str | os.PathLike[str]) -> tuple[ConfigDict, PyTree]:
    """Returns the config and the parameters.

    Raises:
        UserError: the file cannot be read, or is none that `write` has written.
    """
    try:
        # NumPy does not close a damaged file that it has opened itself.
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            config = ConfigDict(dict(json.loads(str(arrays.pop(CONFIG)))))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "holds no parameters"
        raise UserError(
            f"{path}: {reason}; write it with python -m jaxgan.export --format=parameters"
        ) from error
    return config, unflatten_dict(arrays, sep="/")
