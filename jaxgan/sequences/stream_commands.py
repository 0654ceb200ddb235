"""What sample.py and eval.py do with a network that predicts text or handwriting."""

import sys
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
from jaxgan.core.players import load_players
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe, SampleRequest
from jaxgan.core.state import PyTree
from jaxgan.reporting.summary import destination, report
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.handwriting import read_strokes
from jaxgan.sequences.data.stream_corpora import (
    TEXTS,
    Streams,
    open_streams,
    read_unit,
    to_item,
)
from jaxgan.sequences.data.streams import Item
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.evaluation.drawing import pixels, svg
from jaxgan.sequences.evaluation.streams import StreamSampler, StreamValidation

TEXT_FILE, PAGE, POINTS = "samples.txt", "page", "samples.npz"
SEPARATOR = "\n--------\n"
"""Between samples of a text."""

OpenValidation = Callable[[ConfigDict, Mesh, Streams], StreamValidation]
MakeSampler = Callable[[ConfigDict, Vocabulary], StreamSampler]


def declare(
    make: Callable[[ConfigDict, Mesh], Recipe],
    open_validation: OpenValidation,
    make_sampler: MakeSampler,
) -> Declaration:
    """Returns the declaration of a system that predicts long sequences.

    Args:
        make: makes the recipe.
        open_validation: makes what measures networks.
        make_sampler: (config, vocabulary) -> what draws.
    """

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        _evaluate(workdir, checkpoint, request, open_validation)

    def sample(workdir: epath.PathLike, checkpoint: str, request: SampleRequest) -> None:
        _sample(workdir, checkpoint, request, make_sampler)

    return Declaration(make, evaluate=evaluate, sample=sample)


def _sample(
    workdir: epath.PathLike, checkpoint: str, request: SampleRequest, make_sampler: MakeSampler
) -> None:
    """Draws text or handwriting and writes it.

    Raises:
        UserError: a flag cannot be used, there is no such checkpoint, or the files cannot be
            written.
    """
    refuse_flags(ONE_SEED, seed_index=request.seed_index)
    known = "generators of text and of handwriting know no classes and no paths between samples"
    refuse_flags(known, label=request.label, interpolate=request.interpolate)
    folder = absolute(workdir)
    config, vocabulary = configs.read(folder), vocabularies.read(folder)
    sampler = make_sampler(config, vocabulary)
    is_text = config.data.kind in TEXTS
    if is_text:
        refuse_flags("of handwriting only", prime=request.prime, bias=request.bias)
        setting = 1.0 if request.temperature is None else request.temperature
        beginnings = [_start_of_text(sampler, request.text)] * request.count
    else:
        refuse_flags("handwriting has a --bias", temperature=request.temperature)
        if request.output is None:
            raise UserError("--output: name the folder that the pages are written to")
        setting = request.bias or 0.0
        beginnings = _starts_of_handwriting(folder, config, sampler, request)
    params = _load(folder, checkpoint)
    key, length = jax.random.key(request.seed), config.validation.length
    samples = sampler.draw(params, key, beginnings, length, setting)
    if is_text:
        found = SEPARATOR.join(sampler.text_of(_shown(sample, request.text)) for sample in samples)
        if request.output is None:
            sys.stdout.write(found + "\n")
        else:
            place = Path(request.output).expanduser()
            with writable(place.parent):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(found + "\n", encoding="utf-8")
    else:
        place = Path(str(request.output)).expanduser()
        write_pages(place, samples, read_unit(folder))
        print(f"wrote {len(samples)} lines of handwriting to {place}")


def _shown(sample: np.ndarray, text: str | None) -> np.ndarray:
    """Returns a sample without the new line that it starts with if it continues nothing."""
    return sample if text else sample[1:]


def _start_of_text(sampler: StreamSampler, text: str | None) -> Item:
    """Returns the beginning that the flag --text gives."""
    if not text:
        return sampler.start()
    return Item(_numbers(sampler, text) - 1)


def _numbers(sampler: StreamSampler, text: str) -> np.ndarray:
    """Returns the numbers of the characters of --text, from 1: int32 [n].

    Raises:
        UserError: the run has never seen one of them.
    """
    tokens = sampler.vocabulary.tokens
    unknown = sorted(set(text) - set(tokens))
    if unknown:
        raise UserError(
            f"--text: the run has not learned the character {unknown[0]!r}; it knows "
            f"{''.join(tokens)!r}"
        )
    return np.array([tokens.index(character) + 1 for character in text], np.int32)


def _starts_of_handwriting(
    folder: epath.Path, config: ConfigDict, sampler: StreamSampler, request: SampleRequest
) -> list[Item]:
    """Returns the beginnings that the flags --prime and --text give, with what is to be written.

    With both, the window reads the text of the beginning and then that of the flag.
    """
    wanted = _numbers(sampler, request.text or "")
    if request.text and not config.window:
        raise UserError(f"--text={request.text}: this network reads no text; leave --text out")
    beginnings = [sampler.start()]
    if request.prime:
        unit = read_unit(folder)
        lines = read_strokes(request.prime, "--prime=")[: request.count]
        if config.window and not all(line.text for line in lines):
            raise UserError(
                f"--prime={request.prime}: its lines have no text, which the window reads"
            )
        beginnings = []
        for line in lines:
            text = line.text if config.window else ""
            _numbers(sampler, text)
            beginnings.append(to_item(line.points, text, sampler.vocabulary, unit))
    if config.window and not request.text:
        raise UserError("--text: say what is to be written")
    beginnings = [
        item._replace(text=np.concatenate([item.text, wanted])) if config.window else item
        for item in beginnings
    ]
    return [beginnings[row % len(beginnings)] for row in range(request.count)]


def _evaluate(
    workdir: epath.PathLike,
    checkpoint: str,
    request: EvaluationRequest,
    open_validation: OpenValidation,
) -> None:
    """Measures a trained network by the test data of its run and writes samples and a summary."""
    refuse_flags(ONE_SEED, seed_index=request.seed_index)
    measured = "a network is measured by the held-out data of its training"
    refuse_flags(measured, data=request.data, scores=request.scores)
    folder = absolute(workdir)
    config, mesh = configs.read(folder), devices.make_mesh()
    corpus = open_streams(config)
    check_same_data(folder, corpus.files)
    validation = open_validation(config, mesh, corpus)
    params = devices.put_replicated(_load(folder, checkpoint), mesh)
    # Rounds start at 1, so no validation of the training has used this draw.
    samples = validation.draw(params, 0)
    found = validation.measure(params, samples, corpus.test)
    place = destination(folder, request.output)
    if jax.process_index() == 0:
        if config.data.kind in TEXTS:
            texts = [validation.sampler.text_of(sample[1:]) for sample in samples]
            with writable(place):
                place.mkdir(parents=True, exist_ok=True)
                (place / TEXT_FILE).write_text(SEPARATOR.join(texts) + "\n", encoding="utf-8")
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


def _load(folder: epath.Path, checkpoint: str) -> PyTree:
    """Returns the parameters of a run's network as NumPy arrays."""
    return load_players(folder, checkpoint)["network"].deployed
