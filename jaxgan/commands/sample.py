"""Draws from a trained generator: `jaxgan sample --workdir=DIR [--count=N] [--output=PATH]`."""

import argparse

from jaxgan.core import command
from jaxgan.core.arguments import check_positive
from jaxgan.core.command import Parser, refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.images.settings import DIRECTIONS

COUNT = 10
"""The default of --count."""
TRANSLATED = "with --input, each picture is translated once"
"""Why --input refuses the flags that are for drawing samples."""

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Returns the flags.

    Raises:
        UserError: a flag is unknown or has an invalid value.
    """
    parser = Parser(
        description="Draws from a trained generator. Generators of sequences write one sequence "
        "per line: text, or the tokens of an oracle as numbers. Generators of images write a grid "
        "and an .npz file, those of handwriting a page as SVG and PNG and an .npz file. Agents "
        "write the returns of episodes and a GIF of the first one. With --input, systems that turn "
        "images into images translate pictures, which keep their names, sizes and formats.",
        epilog="The same flags always draw the same samples.",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("--count", type=int, metavar="N", help="default: 10")
    parser.add_argument(
        "--input", metavar="PATH", help="a picture, or a folder of them, to translate"
    )
    parser.add_argument(
        "--direction",
        choices=DIRECTIONS,
        help="direction of the translation; default: the first that the system has learned",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sequences: below 1 for more likely ones, above 1 for rarer ones; default: 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--checkpoint", default="last", metavar="last|best|ROUND", help="default: last"
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="a folder for images, handwriting and episodes; a file for sequences and text, "
        "default: standard output",
    )
    parser.add_argument(
        "--label", metavar="CLASS", help="images: their class, if the system has classes"
    )
    parser.add_seed_index()
    parser.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="images: a grid of --count rows, each N images from one latent code to another",
    )
    parser.add_argument(
        "--text", help="the beginning of a text to continue, or the text that handwriting spells"
    )
    parser.add_argument("--prime", metavar="FILE", help="an .npz file of handwriting to continue")
    parser.add_argument(
        "--bias", type=float, metavar="B", help="handwriting: above 0 for tidier lines"
    )
    flags = parser.parse_args(argv)
    if flags.input is not None:
        given = ("count", "temperature", "label", "interpolate", "text", "prime", "bias")
        refuse_flags(TRANSLATED, **{name: getattr(flags, name) for name in given})
        if flags.output is None:
            raise UserError("--output: give a folder to write the translations to")
        return flags
    refuse_flags("only --input translates pictures", direction=flags.direction)
    if flags.count is None:
        flags.count = COUNT
    if flags.count < 1:
        raise UserError(f"--count={flags.count}: must be 1 or more")
    if flags.interpolate is not None and flags.interpolate < 2:
        raise UserError(f"--interpolate={flags.interpolate}: must be 2 or more")
    if flags.temperature is not None:
        check_positive("--temperature", flags.temperature)
    if flags.bias is not None and not 0 <= flags.bias < float("inf"):
        raise UserError(f"--bias={flags.bias}: must be 0 or more")
    return flags


def sample(argv: list[str] | None) -> None:
    """Reads the flags and draws."""
    flags = parse(argv)

    from jaxgan import recipes
    from jaxgan.core import devices
    from jaxgan.core.recipe import SampleRequest, TranslationRequest

    devices.prepare()
    if flags.input is not None:
        asked = TranslationRequest(
            flags.input, flags.output, flags.direction, flags.seed, flags.seed_index
        )
        recipes.command(flags.workdir, "translate")(flags.workdir, flags.checkpoint, asked)
        return
    draw = recipes.command(flags.workdir, "sample")
    request = SampleRequest(
        count=flags.count,
        seed=flags.seed,
        output=flags.output,
        temperature=flags.temperature,
        label=flags.label,
        seed_index=flags.seed_index,
        interpolate=flags.interpolate,
        text=flags.text,
        prime=flags.prime,
        bias=flags.bias,
    )
    draw(flags.workdir, flags.checkpoint, request)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    return command.run(lambda: sample(argv))
