"""Draws sequences from a trained generator: `python sample.py --workdir=DIR --count=N`."""

import argparse
import sys
from pathlib import Path

from jaxgan.core import command
from jaxgan.core.command import Parser
from jaxgan.core.errors import UserError

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(
        description="Draws sequences from a trained generator, one a line: text, or an oracle's "
        "tokens as numbers.",
        epilog="The same flags give the same lines.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder of the training")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="below 1 likelier sequences, above 1 rarer; default: 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="another one, other lines; default: 0")
    parser.add_argument(
        "--checkpoint", default="last", metavar="last|best|ROUND", help="default: last"
    )
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    flags = parser.parse_args(argv)
    if flags.count < 1:
        raise UserError(f"--count={flags.count}: must be 1 or more")
    if not 0 < flags.temperature < float("inf"):
        raise UserError(f"--temperature={flags.temperature}: must be above 0")
    return flags


def sample(argv: list[str] | None) -> None:
    """Reads the flags and draws."""
    flags = parse(argv)

    from jaxgan.core import devices
    from jaxgan.core.files import writable
    from jaxgan.sequences.evaluation import sampler

    devices.prepare()
    trained = sampler.load(flags.workdir, flags.checkpoint)
    text = "\n".join(trained.lines(flags.count, flags.seed, flags.temperature)) + "\n"
    if flags.output:
        path = Path(flags.output).expanduser()
        with writable(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `command.run`."""
    return command.run(lambda: sample(argv))


if __name__ == "__main__":
    sys.exit(main())
