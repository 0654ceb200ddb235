"""Exports a trained enhancer: `python -m jaxgan.export --workdir=DIR --output=FILE`."""

import argparse
import sys
from collections.abc import Sequence

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(description="Writes a trained enhancer as one file that needs only jax to run.")
    parser.prog = "python -m jaxgan.export"
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("--output", required=True, metavar="FILE")
    parser.add_argument("--checkpoint", default="best", metavar="best|last|ROUND")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""

    def action() -> None:
        flags = parse(arguments)

        from jaxgan import recipes
        from jaxgan.core import devices
        from jaxgan.speech.export import export

        devices.prepare()
        load = recipes.command(flags.workdir, "enhance")
        size = export(load(flags.workdir, flags.checkpoint), flags.output)
        print(f"{flags.output}: {size / 1e6:.1f} MB")

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main())
