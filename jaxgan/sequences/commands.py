"""The commands sample.py and eval.py for a trained generator of sequences."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import NOTHING_TO_CONTINUE, ONE_SEED, refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, check_same_data
from jaxgan.core.recipe import Declaration, Evaluation, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.state import PyTree
from jaxgan.core.text_files import write_text
from jaxgan.reporting.summary import destination, report
from jaxgan.sequences.data.corpora import Corpus, open_corpus
from jaxgan.sequences.evaluation import sampler
from jaxgan.sequences.lines import CLASSES, LineSampler

SAMPLES = "samples.txt"


class Validation(Protocol):
    """Draws from a generator and measures it."""

    def draw(self, params: PyTree, number: int) -> np.ndarray:
        """Returns `config.validation.samples` sequences, int32 [n, T], of draw `number`."""

    def measure(self, params: PyTree, samples: np.ndarray) -> Evaluation:
        """Returns the metrics of samples."""

    def close(self) -> None:
        """Stops what it has started."""


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe],
    open_validation: Callable[[ConfigDict, Mesh, Corpus], Validation],
    may_change: Sequence[str] = (),
) -> Declaration:
    """Returns the declaration of a system that trains a generator of sequences.

    Args:
        make: makes the recipe.
        open_validation: makes what measures generators.
        may_change: as `Declaration.may_change`.
    """

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        refuse_flags(ONE_SEED, seed_index=request.seed_index or None)
        _evaluate(workdir, checkpoint, request, open_validation)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> LineSampler:
        refuse_flags(ONE_SEED, seed_index=seed_index or None)
        return LineSampler(sampler.load(workdir, checkpoint))

    return Declaration(
        make, evaluate=evaluate, sample=sample, load=load, may_change=tuple(may_change)
    )


def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
    """Draws sequences and writes them, one a line: text, or an oracle's tokens as numbers.

    Args:
        workdir: the folder of the run.
        checkpoint: "last", "best" or a round.
        request: how many; the output is a file.

    Raises:
        UserError: a label or an interpolation is requested, there is no such checkpoint, or
            the file cannot be written.
    """
    if request.label is not None:
        raise UserError(f"--label={request.label}: {CLASSES}")
    if request.interpolate is not None:
        raise UserError(f"--interpolate={request.interpolate}: only images can be interpolated")
    temperature = 1.0 if request.temperature is None else request.temperature
    refuse_flags(ONE_SEED, seed_index=request.seed_index or None)
    given = {"text": request.text, "prime": request.prime, "bias": request.bias}
    refuse_flags(NOTHING_TO_CONTINUE, **given)
    trained = sampler.load(workdir, checkpoint)
    lines = trained.lines(trained.draw(request.count, request.seed, temperature))
    write_text(request.output, _as_text(lines))


def _evaluate(
    workdir: epath.PathLike,
    checkpoint: str,
    request: EvaluationRequest,
    open_validation: Callable[[ConfigDict, Mesh, Corpus], Validation],
) -> None:
    """Measures a trained generator as validation does and writes its samples and a summary."""
    refuse_flags(
        "a generator of sequences is measured by the metrics of its validation against the "
        "held-out data of its training",
        data=request.data,
        scores=request.scores or None,
    )
    folder = absolute(workdir)
    config = configs.read(folder)
    trained = sampler.load(folder, checkpoint)
    mesh = devices.make_mesh()
    corpus = open_corpus(config, mesh)
    check_same_data(folder, corpus.files)
    with contextlib.closing(open_validation(config, mesh, corpus)) as validation:
        # Rounds start at 1, so no validation of the training has used this draw.
        samples = validation.draw(trained.params, 0)
        found = validation.measure(trained.params, samples).metrics
    if jax.process_index() == 0:
        write_text(destination(folder, request.output) / SAMPLES, _as_text(trained.lines(samples)))
    report(folder, request.output, len(samples), found)


def _as_text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
