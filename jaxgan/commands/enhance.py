"""Enhances files: `jaxgan enhance --workdir=DIR --input=FILE_OR_DIR --output=DIR`."""

import argparse

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Enhances speech in audio files of any rate and length with a trained "
        "network. Every file keeps its rate, channels, format and length.",
        epilog="The network works at 16000 Hz: files at higher rates lose everything above 8000 "
        "Hz. Exit status: 0 if any file was enhanced (the others are named), 2 if none was.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
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

    from jaxgan import recipes
    from jaxgan.core import devices
    from jaxgan.speech.enhance_files import enhance_files

    devices.prepare()
    load = recipes.command(flags.workdir, "enhance")
    enhance_files(load(flags.workdir, flags.checkpoint), flags.input, flags.output)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    return command.run(lambda: enhance(argv), "stopped; the files written so far are complete")
