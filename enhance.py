"""Enhances files: `python enhance.py --workdir=DIR --input=FILE_OR_DIR --output=DIR`."""

import argparse
import sys

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(
        description="Enhances speech in audio files of any rate and length with a trained "
        "network. Every file keeps its rate, channels, format and length.",
        epilog="The network hears 16000 Hz: files at higher rates keep nothing above 8000 Hz. "
        "Exit status: 0 if any file was enhanced (those that were not are named), 2 if none was.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder of the training")
    parser.add_argument("--input", required=True, metavar="FILE_OR_DIR")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="gets the same files in the same sub-folders"
    )
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    return parser.parse_args(argv)


def enhance(argv: list[str] | None) -> None:
    """Reads the flags and enhances."""
    flags = parse(argv)

    from jaxgan.core import devices
    from jaxgan.speech import enhancer
    from jaxgan.speech.enhance_files import enhance_files

    devices.prepare()
    enhance_files(enhancer.load(flags.workdir, flags.checkpoint), flags.input, flags.output)


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `command.run`."""
    return command.run(lambda: enhance(argv), "stopped; files that are there are whole")


if __name__ == "__main__":
    sys.exit(main())
