"""Exports a trained enhancer: `python -m jaxgan.export --workdir=DIR --output=FILE`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from jaxgan.core import command
from jaxgan.core.command import Parser, refuse_flags
from jaxgan.core.errors import UserError

# Nothing here imports jax before main() does: --help and mistakes in flags answer at once.

FORMATS = ("stablehlo", "weights", "parameters", "onnx")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Writes a trained enhancer as one file, or as a small folder.",
        epilog="stablehlo: one file for jax. weights: a folder that can be used like the "
        "run's, without optimizers. parameters: an .npz file, which --format=onnx "
        "converts in an environment with jax2onnx. onnx: frames in, enhanced frames out.",
    )
    parser.prog = "python -m jaxgan.export"
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", metavar="DIR", help="the run's folder")
    source.add_argument(
        "--parameters", metavar="FILE", help="a file from --format=parameters; for --format=onnx"
    )
    parser.add_argument("--output", required=True, metavar="FILE_OR_DIR")
    parser.add_argument("--format", default=FORMATS[0], choices=FORMATS)
    parser.add_argument("--checkpoint", metavar="best|last|ROUND", help="default: best")
    flags = parser.parse_args(arguments)
    if flags.parameters:
        refuse_flags("only --workdir uses it", checkpoint=flags.checkpoint)
        if flags.format != "onnx":
            raise UserError(f"--parameters={flags.parameters}: add --format=onnx")
    return flags


def export(flags: argparse.Namespace) -> None:
    """Writes the file."""
    from jaxgan.core import devices, files

    devices.prepare()
    if flags.parameters:
        # Nothing here may import orbax; see `jaxgan.speech.onnx`.
        from jaxgan.speech import parameters
        from jaxgan.speech.networks.masking import make_denoiser

        config, params = parameters.read(flags.parameters)
        denoiser = make_denoiser(config)
    else:
        from jaxgan import recipes

        load = recipes.command(flags.workdir, "enhance")
        trained = load(flags.workdir, flags.checkpoint or "best")
        config, params, denoiser = trained.config, trained.params, trained.denoiser
        if denoiser.with_video and flags.format != "weights":
            raise UserError(
                f"{flags.workdir} holds an audio-visual network, which --format={flags.format} "
                "cannot hold"
            )
    if flags.format == "parameters" and denoiser.enhance_frames is None:
        raise UserError(f"--format=parameters: {flags.workdir} holds no mask network")
    output = Path(flags.output).expanduser()
    with files.writable(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "stablehlo":
            from jaxgan.speech.export import serialise

            output.write_bytes(serialise(denoiser, params))
        elif flags.format == "onnx":
            from jaxgan.speech import onnx

            onnx.convert(denoiser, params, output)
        elif flags.format == "weights":
            write_weights(output, config, params)
        else:
            from jaxgan.speech import parameters

            parameters.write(output, config, params)
    written = output.rglob("*") if output.is_dir() else [output]
    print(f"{flags.output}: {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")


def write_weights(output: Path, config: ConfigDict, params: Any) -> None:
    """Writes a generator and the config of its run, without what only concerns its training data.

    Raises:
        UserError: the folder exists and is not empty.
    """
    from jaxgan.core import weights
    from jaxgan.core.state import Player
    from jaxgan.speech.settings import data_settings

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} exists already; give a new or an empty folder")
    output.mkdir(exist_ok=True)
    # The paths of the training data and of other runs say nothing to those who get the folder.
    config = config.copy_and_resolve_references()
    config.update(data=data_settings(), init_from="")
    generator = Player(params=params, state={}, opt_state=())
    weights.write(epath.Path(output), config, {"generator": generator})


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    return command.run(lambda: export(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main())
