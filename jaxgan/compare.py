"""Compares trained runs: `python -m jaxgan.compare WORKDIR WORKDIR ... [--data=DIR]`."""

import argparse
import sys
from collections.abc import Sequence

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Compares trained enhancers on one test set, or trained generators of images "
        "on their held-out data: a table with intervals, and one HTML report."
    )
    parser.prog = "python -m jaxgan.compare"
    parser.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="the first is the baseline")
    parser.add_argument(
        "--data", metavar="DIR", help="as for eval.py; default: held-out data of the first run"
    )
    parser.add_argument("--checkpoint", default="best", metavar="best|last|ROUND")
    parser.add_argument("--scores", default="", metavar="all|NAME,NAME,...")
    parser.add_argument("--output", metavar="DIR", help="default: compare-NAME_OF_DATA")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; see `command.run`."""

    def action() -> None:
        flags = parse(arguments)

        from jaxgan import recipes
        from jaxgan.core import devices

        devices.prepare()
        recipes.command(flags.workdirs[0], "compare")(
            flags.workdirs,
            recipes.command,
            flags.data,
            flags.checkpoint,
            flags.output,
            flags.scores,
        )

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main())
