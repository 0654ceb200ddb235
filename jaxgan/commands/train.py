"""Trains a system: `jaxgan train --config=NAME[:PRESET] [--config.key=value ...]`.

The same command again continues a run that was stopped.
"""

import argparse
import contextlib

from jaxgan.core import command
from jaxgan.core.command import Parser
from jaxgan.core.signals import STOPPED

# Nothing here imports jax before main() does: the worker processes that compute scores import this
# file again when they are spawned, and without jax they stay small and start fast.


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags, and the remaining items, which are for the config."""
    parser = Parser(
        description="Trains a system. Repeat the command to continue a run that was stopped.",
        epilog="--config.key=value sets any value of the config, such as --config.rounds=10.",
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:PRESET]",
        help="a Python file, or the name of one of jaxgan's configs, such as metricgan:quick",
    )
    parser.add_argument("--workdir", metavar="DIR", help="default: runs/NAME-PRESET")
    parser.add_argument("--debug_nans", action="store_true", help="raise at the first NaN")
    parser.add_argument("--profile", type=int, metavar="K", help="write a trace of round K")
    processes = parser.add_argument_group(
        "several processes", "not needed with srun, mpirun or TPU pods"
    )
    processes.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    processes.add_argument("--processes", type=int, metavar="N")
    processes.add_argument("--process_id", type=int, metavar="I", help="from 0")
    return parser.parse_known_args(argv)


def train(argv: list[str] | None) -> None:
    """Reads the config and trains."""
    flags, overrides = parse(argv)

    from jaxgan.core import config as configs

    config = configs.load(flags.config, overrides)

    import jax

    from jaxgan import recipes
    from jaxgan.core import devices, loop

    workdir = flags.workdir or f"runs/{configs.name(flags.config)}"
    devices.start(flags.coordinator, flags.processes, flags.process_id)
    if flags.debug_nans or config.get("debug_nans"):
        jax.config.update("jax_debug_nans", True)
    may_change = recipes.declaration(config).may_change
    if loop.finished(config, workdir, may_change):
        return
    with contextlib.closing(recipes.make(config, devices.make_mesh())) as recipe:
        loop.run(recipe, config, workdir, flags.profile, may_change)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`. It is 0 for a run that stopped after a round."""
    return command.run(lambda: train(argv), STOPPED)
