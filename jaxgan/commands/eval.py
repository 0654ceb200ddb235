"""Evaluates a trained run: `jaxgan eval --workdir=DIR [--data=DIR] [--output=DIR]`."""

import argparse

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Generates with a trained network and scores the result: a table, "
        "summary.json, and what was generated; for speech also scores.csv and figures.",
        epilog="Speech is scored at 16000 Hz; files at another rate are resampled to it first.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--data",
        metavar="DIR|gymnasium:NAME",
        help="speech: a folder with clean/ and noisy/, which hold files of equal names, with "
        "VoiceBank-DEMAND's test set, or with scenes of AVSEC; control: an environment of "
        "Gymnasium; default: the run's own validation data or environment",
    )
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    parser.add_argument(
        "--scores",
        default="",
        metavar="all|NAME,NAME,...",
        help="speech: see docs/scores.md; default: those that papers usually report",
    )
    parser.add_argument("--output", metavar="DIR", help="default: WORKDIR/eval-NAME_OF_DATA")
    parser.add_seed_index()
    return parser.parse_args(argv)


def evaluate(argv: list[str] | None) -> None:
    """Reads the flags and evaluates."""
    flags = parse(argv)

    from jaxgan import recipes
    from jaxgan.core import devices
    from jaxgan.core.recipe import EvaluationRequest

    devices.prepare()
    score = recipes.command(flags.workdir, "evaluate")
    request = EvaluationRequest(flags.data, flags.output, flags.scores, flags.seed_index)
    score(flags.workdir, flags.checkpoint, request)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    return command.run(lambda: evaluate(argv))
