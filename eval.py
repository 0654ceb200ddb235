"""Scores a trained network: `python eval.py --workdir=DIR [--data=DIR] [--output=DIR]`."""

import argparse
import sys

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(
        description="Enhances a test set with a trained network and scores it before and after: "
        "a table, scores.csv, summary.json, figures, and the enhanced files.",
        epilog="Everything is scored at 16000 Hz; files at another rate are resampled to it first.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder of the training")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="holds clean/ and noisy/ with files of equal names, or VoiceBank-DEMAND's test set; "
        "default: the validation data of the training",
    )
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    parser.add_argument(
        "--scores",
        default="",
        metavar="all|NAME,NAME,...",
        help="see docs/scores.md; default: those of the field's tables",
    )
    parser.add_argument("--output", metavar="DIR", help="default: WORKDIR/eval-NAME_OF_DATA")
    return parser.parse_args(argv)


def evaluate(argv: list[str] | None) -> None:
    """Reads the flags and evaluates."""
    flags = parse(argv)

    from jaxgan.core import devices
    from jaxgan.speech.evaluation import evaluate as evaluation

    devices.prepare()
    evaluation.evaluate(
        flags.workdir, flags.data, flags.checkpoint, flags.output, scores=flags.scores
    )


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `command.run`."""
    return command.run(lambda: evaluate(argv))


if __name__ == "__main__":
    sys.exit(main())
