"""jaxgan trains a generator against any score you can compute, even one that has no gradient.

What a run has trained is a function of arrays:

    enhancer = jaxgan.load("runs/metricgan-quick")
    enhanced = enhancer(samples, 44100)
"""

import os
from typing import Any

# Importing this package must stay cheap, since worker processes and --help do it. So nothing else
# is imported before it is asked for.


def __getattr__(name: str) -> str:
    """Returns `__version__`, which is looked up in the installed packages when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jaxgan")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0+unknown"


def load(workdir: str | os.PathLike[str], checkpoint: str = "best", seed_index: int = 0) -> Any:
    """Returns what a run has trained, as a function of arrays.

    | the run is of | what is returned | call |
    |---|---|---|
    | speech | `jaxgan.speech.arrays.ArrayEnhancer` | (samples, rate, video=None) -> samples |
    | images, points | `jaxgan.images.arrays.ArraySampler` | (count, seed, label) -> array |
    | translation | `jaxgan.images.translation_commands.ArrayTranslator` | (images) -> images |
    | sequences | `jaxgan.sequences.lines.LineSampler` | (count, seed) -> list of strings |
    | long text, handwriting | `jaxgan.sequences.writer.Writer` | (count, seed, text=...) -> list |
    | control | `jaxgan.control.policy.Policy` | (observation) -> action |

    Args:
        workdir: the run's folder.
        checkpoint: "best", "last" or the round of one that was kept.
        seed_index: which of the seeds that were trained together, `config.seeds`.

    Raises:
        jaxgan.core.errors.UserError: the folder holds no run or no such checkpoint or seed, or its
            system trains nothing that can be called.
    """
    from jaxgan import recipes
    from jaxgan.core import devices

    devices.prepare()
    return recipes.command(workdir, "load")(workdir, checkpoint, seed_index)
