"""jaxgan trains a generator against any score you can compute, even one that has no gradient.

enhancer = jaxgan.load("runs/metricgan-quick")
enhanced = enhancer(samples, 44100)
"""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("jaxgan")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"


def load(workdir: str | os.PathLike[str], checkpoint: str = "best") -> Any:
    """Returns what a run has trained, as a function of arrays.

    For a run of speech it is a `jaxgan.speech.arrays.ArrayEnhancer`: (samples, sample_rate) ->
    enhanced samples.

    Args:
        workdir: the run's folder.
        checkpoint: "best", "last" or the round of one that was kept.

    Raises:
        jaxgan.core.errors.UserError: the folder holds no run or no such checkpoint, or its system
            trains nothing that can be called.
    """
    # Importing this package must stay cheap: worker processes and --help do it.
    from jaxgan import recipes
    from jaxgan.core import devices

    devices.prepare()
    return recipes.command(workdir, "load")(workdir, checkpoint)
