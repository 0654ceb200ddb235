"""The declaration of systems that train an enhancer: it can enhance files and be evaluated."""

from collections.abc import Callable, Sequence
from typing import Any

from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.command import ONE_SEED, refuse_flags
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe
from jaxgan.speech.arrays import ArrayEnhancer
from jaxgan.speech.enhancer import Enhancer, load
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.settings import MAY_CHANGE


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe], make_denoiser: Callable[[ConfigDict], Denoiser]
) -> Declaration:
    """Returns the declaration of a system that trains an enhancer.

    Args:
        make: makes the recipe.
        make_denoiser: makes the denoiser of a config.
    """

    def enhance(workdir: epath.PathLike, checkpoint: str) -> Enhancer:
        return load(workdir, checkpoint, make_denoiser)

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        refuse_flags(ONE_SEED, seed_index=request.seed_index or None)
        # Figures and tables take a second to import, which training does not need.
        from jaxgan.speech.evaluation import evaluate as evaluation

        trained = enhance(workdir, checkpoint)
        evaluation.evaluate(
            *(trained, workdir, request.data, checkpoint, request.output, request.scores)
        )

    def load_for_arrays(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> ArrayEnhancer:
        refuse_flags(ONE_SEED, seed_index=seed_index or None)
        return ArrayEnhancer(enhance(workdir, checkpoint))

    return Declaration(
        make,
        evaluate=evaluate,
        enhance=enhance,
        compare=compare,
        load=load_for_arrays,
        may_change=MAY_CHANGE,
    )


def compare(
    workdirs: Sequence[str],
    command: Callable[[str, str], Any],
    data: str | None,
    checkpoint: str,
    output: str | None,
    scores: str,
) -> None:
    """Compares trained enhancers; see `Declaration.compare`."""
    # Figures and tables take a second to import, which training does not need.
    from jaxgan.speech.evaluation import compare as comparison

    trained = [command(workdir, "enhance")(workdir, checkpoint) for workdir in workdirs]
    comparison.compare(workdirs, trained, data, checkpoint, output, scores)
