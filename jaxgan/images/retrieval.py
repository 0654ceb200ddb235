"""A trained discriminator as an encoder: `python -m jaxgan.images.retrieval --workdir=RUN`.

It takes a run of any GAN of images whose discriminator sees single samples, and does what eval.py
does with runs of `systems.sketch_retrieval`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from jaxgan.core import command
from jaxgan.core.command import Parser

if TYPE_CHECKING:
    from jaxgan.core.recipe import EvaluationRequest

# Nothing here imports jax before main() does, so --help and wrong flags are answered at once.


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Retrieves held-out images by the edges of others, in the last hidden layer of "
        "a trained discriminator, and writes the precision and its controls to summary.json.",
    )
    parser.prog = "python -m jaxgan.images.retrieval"
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|ROUND", help="default: best"
    )
    parser.add_argument("--output", metavar="DIR", help="default: WORKDIR/retrieval")
    return parser.parse_args(arguments)


def evaluate(workdir: epath.PathLike, checkpoint: str, request: "EvaluationRequest") -> None:
    """Measures the discriminator of a run and three controls, and writes summary.json.

    The controls are the pixels, `COMPONENTS` principal components of the gallery's edges and
    photos, and the same network before training. Every name begins with the encoder's; see
    `evaluation.retrieval` for the rest of it.

    Raises:
        UserError: a flag does not fit, the data are not those of the training, or the run has no
            discriminator that can be used.
    """
    import numpy as np

    from jaxgan.core import devices
    from jaxgan.images.commands import open_run
    from jaxgan.images.evaluation import retrieval
    from jaxgan.images.evaluation.trained_discriminator import load_discriminator
    from jaxgan.reporting.summary import report

    folder, _, _, valid = open_run(workdir, request)
    mesh = devices.make_mesh()
    trained = load_discriminator(folder, checkpoint, mesh, request.seed_index)
    untrained = trained.untrained()
    task = retrieval.make_task(valid, mesh)
    encoders: dict[str, retrieval.Encode] = {
        "discriminator": lambda values: trained(values).features,
        "untrained": lambda values: untrained(values).features,
        "pixels": retrieval.pixels,
        "pca64": retrieval.principal_components(np.concatenate([task.photos, task.edges])),
    }
    found = {
        f"{name}_{metric}": value
        for name, encode in encoders.items()
        for metric, value in {
            **retrieval.measure_retrieval(
                task, encode(task.sketches), encode(task.photos), encode(task.edges)
            ),
            **retrieval.invariance(encode, task),
        }.items()
    }
    report(folder, request.output, len(task.labels), found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""

    def action() -> None:
        flags = parse(arguments)

        from jaxgan.core import devices
        from jaxgan.core.recipe import EvaluationRequest

        devices.prepare()
        output = flags.output or str(epath.Path(flags.workdir) / "retrieval")
        evaluate(flags.workdir, flags.checkpoint, EvaluationRequest(output=output))

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main())
