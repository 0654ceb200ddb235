"""Evaluation: enhances a test set and scores each file before and after, at its own length."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from etils import epath
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import Progress

from jaxgan.core.errors import UserError
from jaxgan.core.files import PRETRAINED_FOLDER, absolute, is_remote
from jaxgan.reporting import figures
from jaxgan.reporting.tables import Columns, show, write_json
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import USUAL, get, installed, score_names
from jaxgan.scores.score import Score
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.avsec import read_test_scenes, scenes_in
from jaxgan.speech.data.checks import DataReport
from jaxgan.speech.data.corpora import describe, open_corpora
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.pairs import TEST_SIDES, read_pairs, sides_in
from jaxgan.speech.data.videos import crop_of
from jaxgan.speech.enhancer import Enhancer, without_video
from jaxgan.speech.evaluation.figures import LABELS, Example, draw_spectrograms
from jaxgan.speech.evaluation.tables import (
    Results,
    gain_warnings,
    make_breakdown,
    make_table,
    summarise,
    write_scores,
)
from jaxgan.speech.long_audio import enhance_clips

PrintLine = Callable[[str], None]
LONGEST_NAME = 40
"""The most characters of an utterance's name that fit above its spectrogram."""


def evaluate(
    trained: Enhancer,
    workdir: str | os.PathLike[str],
    data: str | None = None,
    checkpoint: str = "best",
    output: str | None = None,
    scores: str = "",
    print_line: PrintLine = print,
) -> Results:
    """Scores a trained enhancer and writes tables, figures and the enhanced files.

    Args:
        trained: the enhancer.
        workdir: the folder of its run.
        data: a folder with `clean` and `noisy` (see `read_pairs`), or with scenes of AVSEC (see
            `read_test_scenes`); None: the validation data of the run. Files at other rates are
            resampled to 16000 Hz and scored there.
        checkpoint: the run's checkpoint that the enhancer was loaded from: "best", "last" or a
            round.
        output: folder for scores.csv, summary.json, scores.png, spectrograms.png, both also as
            PDF, and enhanced/; None: `WORKDIR/eval-NAME`, where NAME is the name of the data's
            folder, or "valid".
        scores: see `score_paths`.
        print_line: called with each line of the messages.

    Returns:
        The scores. Those of utterances that cannot be scored are NaN.

    Raises:
        UserError: the data or a score cannot be used, or the output cannot be written.
    """
    paths = score_paths(trained.config, scores, print_line)
    place = _output(workdir, data, checkpoint, output)
    deadline = trained.config.scoring.deadline_seconds
    with ScorePool(list(paths.values()), SAMPLE_RATE, deadline_seconds=deadline) as pool:
        corpus, report = open_test_set(trained.config, data, print_line)
        say_without_video([trained], corpus, print_line)
        with audio.writable(place):
            place.mkdir(parents=True, exist_ok=True)
            report.write(place)
            pool.wait_until_ready()
            results = enhance_and_score(trained, corpus, paths, pool, place / "enhanced")
    title = f"{workdir}, checkpoint {checkpoint}, on {data or 'its validation data'}"
    lower_is_better = [name for name, path in paths.items() if not get(path).higher_is_better]
    show(make_table(results, title, lower_is_better))
    for condition in results.conditions:
        show(make_breakdown(results, condition))
    for line in gain_warnings(results, lower_is_better):
        print_line(f"warning: {line}")
    with audio.writable(place):
        write_scores(results, place / "scores.csv")
        write_json(place / "summary.json", summarise(results))
        figures.save(figures.scatter(results.sides, "noisy", LABELS), place / "scores.png")
        examples = choose_examples(results, corpus, get(next(iter(paths.values()))), place)
        if examples:
            draw_spectrograms(examples, trained.front_end, place / "spectrograms.png")
    print_line(f"scores, figures and enhanced files: {place}")
    return results


def score_paths(
    config: ConfigDict, scores: str = "", print_line: PrintLine = print
) -> dict[str, str]:
    """Returns the argument of `get` for every score to compute, by the score's name.

    The scores of the training come first. One that cannot be imported is skipped with a message.

    Args:
        config: the config of the training.
        scores: see `named_scores`.
        print_line: called with the message.

    Raises:
        UserError: a score in `scores` is unknown, or its package is not installed.
    """
    paths: dict[str, str] = {}
    for name in score_names(config.score):
        try:
            paths[get(name).name] = name
        except UserError as error:
            print_line(f"skipping a score of the training: {error}")
    return paths | {name: path for name, path in named_scores(scores).items() if name not in paths}


def named_scores(scores: str, usual: Sequence[str] = USUAL) -> dict[str, str]:
    """Returns the argument of `get` for every score that a flag selects, by the score's name.

    Args:
        scores: names and import paths, separated by commas; "": the usual ones; "all": every
            built-in score whose packages are installed.
        usual: the names of the usual scores.

    Raises:
        UserError: a score is unknown, or its package is not installed.
    """
    named = {"": usual, "all": installed()}.get(scores.strip()) or score_names(scores)
    return {get(path).name: path for path in named}


def enhance_and_score(
    trained: Enhancer,
    corpus: PairCorpus,
    scores: dict[str, str],
    pool: ScorePool,
    folder: Path,
    noisy: Columns | None = None,
) -> Results:
    """Writes every enhanced utterance to `folder/NAME.wav` while workers score both sides.

    The scores are those of the written samples, which are rounded to int16 as in training.

    Args:
        trained: the enhancer.
        corpus: the utterances.
        scores: the pool's name of each score, by the score's own name.
        pool: open worker processes.
        folder: where the files are written.
        noisy: the scores of the noisy side if they are known already.

    Raises:
        UserError: the videos have another size than those that the enhancer sees.
    """
    videos = corpus.videos
    if videos and trained.with_video:
        trained.with_video.crop.require(videos.frames)
    lengths = corpus.lengths
    order = np.argsort(lengths, kind="stable")
    clips = (
        (
            int(number),
            audio.to_float(corpus.noisy(number)),
            videos.target(number) if videos else None,
        )
        for number in order
    )
    pending = {}
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for number, wave in progress.track(
            enhance_clips(trained, clips), total=len(corpus), description="Enhancing"
        ):
            samples = audio.to_int16(wave)
            path = folder / f"{corpus.names[number]}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, samples)
            clean = corpus.clean(number)
            sides = [samples] if noisy else [samples, corpus.noisy(number)]
            pending[number] = [pool.submit(clean, side) for side in sides]
        values = [
            [future.result() for future in pending[number]]
            for number in progress.track(range(len(corpus)), description="Scoring")
        ]
    columns = [
        {name: np.array([sides[side][path] for sides in values]) for name, path in scores.items()}
        for side in range(1 if noisy else 2)
    ]
    return Results(
        corpus.names, lengths / SAMPLE_RATE, noisy or columns[1], columns[0], corpus.conditions
    )


def choose_examples(
    results: Results, corpus: PairCorpus, score: Score, place: Path
) -> list[Example]:
    """Returns the utterances with the best, the median and the worst gain, as far as there are any.

    Args:
        results: the scores of the corpus.
        corpus: the clean and noisy utterances.
        score: the score whose gain ranks them.
        place: the folder whose sub-folder `enhanced` holds the enhanced files.
    """
    noisy, enhanced = results.noisy[score.name], results.enhanced[score.name]
    gain = (enhanced - noisy) if score.higher_is_better else (noisy - enhanced)
    ranked = np.argsort(-gain, kind="stable")[: np.count_nonzero(np.isfinite(gain))]
    if len(ranked) == 0:
        return []
    places = {"best": 0, "worst": len(ranked) - 1, "median": len(ranked) // 2}
    shown = {rank: label for label, rank in reversed(places.items())}
    examples = []
    for rank in sorted(shown):
        number = ranked[rank]
        name = corpus.names[number]
        samples, _ = audio.read(place / "enhanced" / f"{name}.wav")
        change = (
            f"{LABELS.get(score.name, score.name)} {noisy[number]:.2f} to {enhanced[number]:.2f}"
        )
        short = name if len(name) <= LONGEST_NAME else f"...{name[3 - LONGEST_NAME :]}"
        title = f"{shown[rank]} gain: {short}\n{change}"
        examples.append(Example(title, corpus.clean(number), corpus.noisy(number), samples))
    return examples


def _output(
    workdir: str | os.PathLike[str], data: str | None, checkpoint: str, output: str | None
) -> Path:
    if output:
        return Path(output).expanduser()
    if is_remote(workdir):
        raise UserError(f"--workdir={workdir} is not a local folder; give --output=DIR as well")
    if absolute(workdir) == epath.Path(PRETRAINED_FOLDER):
        raise UserError(f"--workdir={workdir} is part of the package; give --output=DIR as well")
    name = Path(data).resolve().name if data else "valid"
    suffix = "" if checkpoint == "best" else f"-{checkpoint}"
    return Path(absolute(workdir)) / f"eval-{name}{suffix}"


def open_test_set(
    config: ConfigDict, data: str | None, print_line: PrintLine
) -> tuple[PairCorpus, DataReport]:
    """Returns a test set, and the report that it has printed about it.

    Args:
        config: the config of the run.
        data: a folder; None for the validation data of the run.
        print_line: called with the report.
    """
    if data is None:
        corpora = open_corpora(config, print_line)
        return corpora.valid, corpora.report
    folder = Path(data).expanduser()
    scenes = None if sides_in(folder, TEST_SIDES) else scenes_in(folder)
    corpus, problems = read_test_scenes(scenes, crop_of(config)) if scenes else read_pairs(data)
    report = DataReport((f"{data}: {describe(corpus)}",), problems)
    print_line(str(report))
    return corpus, report


def say_without_video(
    trained: Sequence[Enhancer], corpus: PairCorpus, print_line: PrintLine
) -> None:
    """Prints a line for the first enhancer that sees videos if the corpus has none."""
    seeing = [enhancer for enhancer in trained if enhancer.with_video]
    if seeing and corpus.videos is None:
        remedy = "--data with scenes of AVSEC has videos, as does the validation data of the run"
        print_line(without_video(seeing[0].config, remedy))
