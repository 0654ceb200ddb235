"""The commands sample.py and eval.py for a network that predicts text or handwriting."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import ONE_SEED, refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute, check_same_data, writable
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.text_files import write_text
from jaxgan.reporting.summary import destination, report
from jaxgan.sequences.commands import SAMPLES
from jaxgan.sequences.data.stream_corpora import TEXTS, Streams, open_streams
from jaxgan.sequences.evaluation.drawing import pixels, svg
from jaxgan.sequences.evaluation.streams import StreamValidation
from jaxgan.sequences.writer import MakeSampler, Writer, load_network

PAGE, POINTS = "page", "samples.npz"
SEPARATOR = "\n--------\n"
"""The lines between two samples of a text."""

OpenValidation = Callable[[ConfigDict, Mesh, Streams], StreamValidation]


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe],
    open_validation: OpenValidation,
    make_sampler: MakeSampler,
    check: Callable[[ConfigDict], None],
) -> Declaration:
    """Returns the declaration of a system that predicts long sequences.

    Args:
        make: makes the recipe.
        open_validation: makes what measures networks.
        make_sampler: (config, vocabulary) -> what draws.
        check: as `Declaration.check`.
    """

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        _evaluate(workdir, checkpoint, request, open_validation)

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        _sample(Writer(workdir, checkpoint, make_sampler), request)

    def load(workdir: epath.PathLike, checkpoint: str, seed_index: int) -> Writer:
        refuse_flags(ONE_SEED, seed_index=seed_index or None)
        return Writer(workdir, checkpoint, make_sampler)

    return Declaration(make, evaluate=evaluate, sample=sample, load=load, check=check)


def _sample(writer: Writer, request: SampleRequest) -> None:
    """Draws text or handwriting and writes it.

    Raises:
        UserError: a flag cannot be used, or the files cannot be written.
    """
    refuse_flags(ONE_SEED, seed_index=request.seed_index or None)
    if not writer.is_text and request.output is None:
        raise UserError("--output: give a folder to write the pages to")
    samples = writer.draw(request)
    if writer.is_text:
        write_text(request.output, SEPARATOR.join(samples) + "\n")
        return
    place = Path(str(request.output)).expanduser()
    write_pages(place, samples, writer.unit)
    print(f"wrote {len(samples)} lines of handwriting to {place}")


def _evaluate(
    workdir: epath.PathLike,
    checkpoint: str,
    request: EvaluationRequest,
    open_validation: OpenValidation,
) -> None:
    """Measures a trained network by the test data of its run and writes samples and a summary."""
    refuse_flags(ONE_SEED, seed_index=request.seed_index or None)
    measured = "a network is measured by the held-out data of its training"
    refuse_flags(measured, data=request.data, scores=request.scores or None)
    folder = absolute(workdir)
    config, mesh = configs.read(folder), devices.make_mesh()
    corpus = open_streams(config)
    check_same_data(folder, corpus.files)
    validation = open_validation(config, mesh, corpus)
    params = load_network(folder, checkpoint, mesh, validation.sampler)
    # Rounds start at 1, so no validation of the training has used this draw.
    samples = validation.draw(params, 0)
    found = validation.measure(params, samples, corpus.test)
    place = destination(folder, request.output)
    if jax.process_index() == 0:
        if config.data.kind in TEXTS:
            texts = [validation.sampler.text_of(sample[1:]) for sample in samples]
            write_text(place / SAMPLES, SEPARATOR.join(texts) + "\n")
        else:
            write_pages(place, samples, corpus.unit)
    report(folder, request.output, len(samples), found)


def write_pages(folder: Path, samples: Sequence[np.ndarray], unit: float) -> None:
    """Writes handwriting as page.svg, page.png and, in the form of `read_strokes`, samples.npz.

    Args:
        folder: where to.
        samples: one or more, [n, 3] each.
        unit: how many units of the data an offset of 1 is; the .npz file has those of the data.

    Raises:
        UserError: the files cannot be written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{PAGE}.svg").write_text(svg(samples), encoding="utf-8")
        pixels(samples).convert("L").save(folder / f"{PAGE}.png", optimize=True)
        offsets = np.concatenate([[0], np.cumsum([len(sample) for sample in samples])])
        points = np.concatenate(samples) * np.array([unit, unit, 1], np.float32)
        np.savez(folder / POINTS, points=points, offsets=offsets)
