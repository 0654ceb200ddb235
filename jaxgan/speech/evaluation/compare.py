"""Compares runs on one test set: `python -m jaxgan.compare W1 W2 ... --data=DIR`.

Prints a table with 95 % intervals, tests every run against the noisy speech and against the first
run, and writes one HTML page with tables, figures and audio. It warns of a run that gains in one
score and loses in another: PESQ can be raised to 3.8 by speech that listeners rate very poorly
(de Oliveira et al., "The PESQetarian", 2024).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.reporting import figures, report
from jaxgan.reporting.comparison import (
    Comparison,
    condition_table,
    config_table,
    difference_table,
    means_table,
    system_names,
    training_curves,
    write_files,
)
from jaxgan.reporting.report import Gallery, Panel, Section
from jaxgan.reporting.tables import Columns, show
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import NAMES, USUAL, get, installed
from jaxgan.scores.score import Score
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.evaluation.evaluate import (
    PrintLine,
    enhance_and_score,
    named_scores,
    open_test_set,
    say_without_video,
)
from jaxgan.speech.evaluation.figures import LABELS, spectrogram
from jaxgan.speech.evaluation.tables import warnings
from jaxgan.speech.networks.stft import FrontEnd

VALIDATION_LABELS = {
    f"valid/{score}{suffix}": label + ending
    for score, label in LABELS.items()
    for suffix, ending in (("", ""), ("_noisy", ", noisy speech"))
}
"""The metrics of validation as figures name them."""
NOISY = "noisy"
"""The name of the unprocessed speech among the systems compared; it comes first."""
OPINIONS = tuple(name for name in NAMES if name.startswith("dnsmos"))
DEFAULT = (*USUAL, *OPINIONS)
"""The scores compared by default."""
BESIDE_PESQ = ("si_sdr", "estoi", *OPINIONS)
"""The scores that are always shown with PESQ, which can be gamed."""
EXAMPLES = 6
"""How many utterances the report embeds."""
TRAINING_DATA = (
    "data.buckets",
    "data.resident_megabytes",
    "data.strict",
    "data.demo.train",
    "data.demo.test",
    "data.talking.train",
)
"""The keys of config.data that do not change what is validated."""
LONGEST_SECONDS = 8
"""How much of each, so that the page stays small."""


def compared_scores(scores: str) -> dict[str, str]:
    """Returns what `evaluate.named_scores` does, plus `BESIDE_PESQ` if PESQ is among them.

    Scores whose packages are not installed are not added.
    """
    available = installed()
    paths = named_scores(scores, [name for name in DEFAULT if name in available])
    if not any(name.startswith("pesq") for name in paths):
        return paths
    return paths | {name: name for name in BESIDE_PESQ if name in available}


def compare(
    workdirs: Sequence[str],
    trained: Sequence[Enhancer],
    data: str | None = None,
    checkpoint: str = "best",
    output: str | None = None,
    scores: str = "",
    print_line: PrintLine = print,
) -> Comparison:
    """Enhances a test set with every run, scores the results, prints a table and writes a report.

    Args:
        workdirs: the runs' folders; the first is the baseline.
        trained: the enhancers of the runs, in the same order.
        data: see `evaluate`; None: the validation data of the first run.
        checkpoint: each run's checkpoint that its enhancer was loaded from: "best", "last" or a
            round.
        output: folder for report.html, table.md, scores.csv, summary.json and each run's enhanced
            files; None: compare-NAME, where NAME is the name of the data's folder, or "valid".
        scores: see `evaluate.named_scores`; "": those of `DEFAULT` that are installed. PESQ is
            joined by those of `BESIDE_PESQ` that are installed.
        print_line: called with each line of the summary.

    Raises:
        UserError: a folder, a checkpoint, data or a score that cannot be used.
    """
    names = system_names(workdirs, NOISY)
    systems = dict(zip(names, trained, strict=True))
    paths = compared_scores(scores)
    place = Path(output or f"compare-{Path(data).resolve().name if data else 'valid'}")
    columns: dict[str, Columns] = {}
    deadline = max(system.config.scoring.deadline_seconds for system in trained)
    with ScorePool(list(paths.values()), SAMPLE_RATE, deadline_seconds=deadline) as pool:
        # Videos are only read for a network that sees them.
        readers = [system for system in trained if system.with_video and data] or trained
        corpus, left_out = open_test_set(readers[0].config, data, print_line)
        say_without_video(trained, corpus, print_line)
        with audio.writable(place):
            place.mkdir(parents=True, exist_ok=True)
            left_out.write(place)
            pool.wait_until_ready()
            for name, system in systems.items():
                folder = place / "enhanced" / name
                noisy = columns.get(NOISY)
                results = enhance_and_score(system, corpus, paths, pool, folder, noisy)
                columns[NOISY] = results.noisy
                columns[name] = results.enhanced
    comparison = Comparison(
        names=corpus.names,
        columns=columns,
        baselines=(NOISY, names[0]),
        higher_is_better={name: get(path).higher_is_better for name, path in paths.items()},
        conditions=corpus.conditions,
        noun="utterances",
    )
    title = f"{', '.join(names)} on {data or f'the validation data of {names[0]}'}"
    show(means_table(comparison, f"{title}, at {SAMPLE_RATE} Hz"))
    lines = warnings(comparison.differences)
    lines += validation_warnings({name: system.config for name, system in systems.items()})
    for line in lines:
        print_line(f"warning: {line}")
    seconds = corpus.lengths / SAMPLE_RATE
    sections = make_sections(
        comparison,
        _galleries(
            comparison,
            corpus,
            [get(path) for path in paths.values()],
            trained[0].front_end,
            place / "enhanced",
        ),
        systems,
        dict(zip(names, workdirs, strict=True)),
    )
    introduction = f"{len(corpus)} utterances, {seconds.sum():.0f} s, scored at {SAMPLE_RATE} Hz."
    page = report.render(title, introduction, lines, sections)
    with audio.writable(place):
        write_files(comparison, place, {"seconds": [f"{value:.4f}" for value in seconds]}, lines)
        (place / "report.html").write_text(page, encoding="utf-8", errors="replace")
    print_line(f"report, scores and enhanced files: {place}")
    return comparison


def validation_warnings(settings: Mapping[str, ConfigDict]) -> list[str]:
    """Returns a line for each run whose validation data are not those of the first run.

    The curves of their validations then cannot be compared.

    Args:
        settings: the config of every run, by name.
    """
    (first, baseline), *others = settings.items()
    lines = []
    for name, config in others:
        keys = [
            key
            for key, *_ in configs.differences(baseline, config)
            if (key.startswith("data.") and key not in TRAINING_DATA)
            or key == "validation.utterances"
        ]
        if keys:
            lines.append(
                f"{name} and {first} were validated with other data settings "
                f"({', '.join(keys)}), so their validation curves cannot be compared"
            )
    return lines


def make_sections(
    comparison: Comparison,
    galleries: Sequence[Gallery],
    trained: Mapping[str, Enhancer],
    folders: Mapping[str, str],
) -> list[Section]:
    """Returns the sections of the report.

    Args:
        comparison: the comparison of the runs and the noisy speech.
        galleries: utterances to hear and to see.
        trained: the enhancer of every run.
        folders: the folder of every run.
    """
    scatter = report.drawing(
        figures.scatter(comparison.columns, NOISY, LABELS),
        f"scores of every utterance over {NOISY}",
    )
    settings = {name: enhancer.config for name, enhancer in trained.items()}
    return [
        Section("Scores", [means_table(comparison)]),
        *(
            Section(f"By {condition}", [condition_table(comparison, condition)])
            for condition in comparison.conditions
        ),
        Section("Differences", [difference_table(comparison.differences)]),
        Section("By utterance", images=[scatter]),
        Section("Training", images=training_curves(folders, "valid/", VALIDATION_LABELS)),
        Section("Configs", [config_table(settings)]),
        Section("Utterances", galleries=galleries),
    ]


def _galleries(
    comparison: Comparison,
    corpus: PairCorpus,
    used: Sequence[Score],
    front_end: FrontEnd,
    enhanced: Path,
) -> list[Gallery]:
    """Returns utterances spread evenly from the greatest mean gain in the first score to the least.

    Args:
        comparison: the comparison of the runs and the noisy speech.
        corpus: clean and noisy utterances.
        used: the scores; the page shows the descriptions that some of them rate.
        front_end: the front end of the spectrograms.
        enhanced: the folder that holds each run's enhanced files.
    """
    score, higher_is_better = next(iter(comparison.higher_is_better.items()))
    runs = [name for name in comparison.columns if name != NOISY]
    gains = [comparison.columns[name][score] - comparison.columns[NOISY][score] for name in runs]
    gain = np.mean(gains, axis=0) * (1 if higher_is_better else -1)
    ranked = np.argsort(-gain, kind="stable")[: np.count_nonzero(np.isfinite(gain))]
    shown = np.unique(np.linspace(0, len(ranked) - 1, EXAMPLES).round().astype(int))
    galleries = []
    for number in ranked[shown] if len(ranked) else []:
        name = comparison.names[number]
        sides = {"clean": corpus.clean(number), NOISY: corpus.noisy(number)}
        for run in runs:
            sides[run], _ = audio.read(enhanced / run / f"{name}.wav")
        panels = []
        for side, samples in sides.items():
            scores = comparison.columns.get(side, {})
            note = ", ".join(f"{score} {values[number]:.2f}" for score, values in scores.items())
            # Only speech that was scored: a slow description of it is in the cache.
            texts = [item.description(samples, SAMPLE_RATE) for item in used if item.name in scores]
            note = ". ".join(filter(None, [note, *texts]))
            panels.append(_panel(side, samples, note, front_end))
        galleries.append(Gallery(name, panels))
    return galleries


def _panel(side: str, samples: np.ndarray, note: str, front_end: FrontEnd) -> Panel:
    pixels, _ = spectrogram(samples, front_end, LONGEST_SECONDS)
    image = report.picture(pixels, f"spectrogram of {side}")
    wav = report.wav(samples[: LONGEST_SECONDS * SAMPLE_RATE], SAMPLE_RATE)
    return Panel(side, image, wav, note)
