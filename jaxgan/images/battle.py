"""Lets two GANs judge each other's samples: `python -m jaxgan.images.battle RUN RUN`.

This is the generative adversarial metric of Im et al. 2016; see `evaluation.gam`.
"""

import argparse
import sys
from collections.abc import Sequence

from jaxgan.core import command
from jaxgan.core.command import Parser

# Nothing here imports jax before main() does, so --help and wrong flags are answered at once.

THRESHOLDS = {"minimax": 0.0, "non_saturating": 0.0, "hinge": 0.0, "least_squares": 0.5}
"""The raw output above which a discriminator takes a sample for real, by `config.loss`. Wasserstein
critics and energies have none."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        description="Lets the discriminators of two GANs judge each other's samples, which eval.py "
        "has written. The GAN whose samples deceive the other one more often wins, if both "
        "discriminators are about as good on the held-out data.",
    )
    parser.prog = "python -m jaxgan.images.battle"
    parser.add_argument("first", metavar="RUN", help="folder of a run, after eval.py of it")
    parser.add_argument("second", metavar="RUN", help="another one, trained on the same data")
    parser.add_argument(
        "--checkpoint",
        default="best",
        metavar="best|last|ROUND",
        help="of the discriminators: that of eval.py; default: best",
    )
    return parser.parse_args(arguments)


def fight(flags: argparse.Namespace) -> None:
    """Reads both runs and prints the result.

    Raises:
        UserError: a run cannot be read, its discriminator does not tell real from generated
            samples, it has no samples of eval.py, or the two have different held-out data.
    """
    import numpy as np

    from jaxgan.core import devices
    from jaxgan.core.cache import DAMAGED
    from jaxgan.core.errors import UserError
    from jaxgan.core.recipe import EvaluationRequest
    from jaxgan.images.commands import SAMPLES, open_run
    from jaxgan.images.data.dataset import described
    from jaxgan.images.evaluation.gam import battle
    from jaxgan.images.evaluation.trained_discriminator import load_discriminator
    from jaxgan.reporting.summary import EVALUATED

    devices.prepare()
    mesh = devices.make_mesh()
    runs = [open_run(folder, EvaluationRequest()) for folder in (flags.first, flags.second)]
    held_out = [described(run.folder, "valid") for run in runs]
    if held_out[0] != held_out[1]:
        raise UserError(f"{flags.second}: its held-out data are not those of {flags.first}")
    samples, judges, thresholds = [], [], []
    for run in runs:
        loss = run.config.get("loss")
        if loss not in THRESHOLDS:
            raise UserError(
                f"{run.folder}: a discriminator with the loss {loss!r} does not tell real from "
                f"generated samples; give a run with config.loss={'|'.join(THRESHOLDS)}"
            )
        path = run.folder / EVALUATED / SAMPLES
        try:
            samples.append(np.load(path)["samples"])
        except FileNotFoundError as error:
            message = f"{path} is missing: first run eval.py --workdir={run.folder}"
            raise UserError(message) from error
        except DAMAGED as error:
            message = f"{path} cannot be read: run eval.py --workdir={run.folder} again"
            raise UserError(message) from error
        judges.append(load_discriminator(run.folder, flags.checkpoint, mesh))
        thresholds.append(THRESHOLDS[loss])
    real = runs[0].valid.values
    first, second = (
        [judge(values).logits > threshold for values in (real, other)]
        for judge, threshold, other in zip(judges, thresholds, samples[::-1], strict=True)
    )
    found = battle(first[0], second[0], first[1], second[1])
    for name, value in found._asdict().items():
        print(f"{name:<15}{value if isinstance(value, str) else round(value, 4)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status; see `command.run`."""
    return command.run(lambda: fight(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main())
