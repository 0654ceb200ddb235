"""Enhances files, or with --stream raw samples from standard input to standard output.

jaxgan enhance --pretrained --input=FILE_OR_DIR --output=DIR
jaxgan enhance --workdir=DIR --input=FILE_OR_DIR --output=DIR
jaxgan enhance --workdir=DIR --stream < noisy.raw > enhanced.raw
"""

import argparse
import sys

from jaxgan.core import command
from jaxgan.core.command import Parser, refuse_flags
from jaxgan.core.files import PRETRAINED

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def streams(argv: list[str] | None) -> bool:
    """Returns whether the flags ask for a stream."""
    return "--stream" in (sys.argv[1:] if argv is None else argv)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Enhances speech in audio files of any rate and length with a trained "
        "network. Every file keeps its rate, channels, format and length.",
        epilog="The network works at 16000 Hz: files at higher rates lose everything above 8000 "
        "Hz. Exit status: 0 if any file was enhanced (the others are named), 2 if none was.",
    )
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--workdir", metavar="DIR", help="the run's folder")
    network.add_argument(
        "--pretrained",
        dest="workdir",
        action="store_const",
        const=PRETRAINED,
        help="enhance with the network that comes with jaxgan",
    )
    files = not streams(argv)
    parser.add_argument("--input", required=files, metavar="FILE_OR_DIR")
    parser.add_argument(
        "--output",
        required=files,
        metavar="DIR",
        help="for the enhanced files, in the same sub-folders",
    )
    parser.add_argument(
        "--video",
        metavar="FILE_OR_DIR",
        help="videos of the talkers, for audio-visual networks: NAME.mp4 for each NAME.wav",
    )
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="in place of --input and --output: enhance raw samples (signed 16 bits, little-endian,"
        " mono, 16000 Hz) from standard input to standard output, as they arrive; needs a causal "
        "network",
    )
    return parser.parse_args(argv)


def enhance(argv: list[str] | None) -> None:
    """Reads the flags and enhances."""
    flags = parse(argv)
    if flags.stream:
        why = "--stream uses standard input and output"
        refuse_flags(why, input=flags.input, output=flags.output, video=flags.video)

    from jaxgan import recipes
    from jaxgan.core import devices
    from jaxgan.speech.enhance_files import enhance_files
    from jaxgan.speech.enhance_stream import enhance_stream

    devices.prepare()
    trained = recipes.command(flags.workdir, "enhance")(flags.workdir, flags.checkpoint)
    if flags.stream:
        enhance_stream(trained, flags.workdir)
    else:
        enhance_files(trained, flags.input, flags.output, video=flags.video)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    stopped = "stopped" if streams(argv) else "stopped; the files written so far are complete"
    return command.run(lambda: enhance(argv), stopped)
