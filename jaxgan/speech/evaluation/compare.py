"""Compares runs on one test set: `python -m jaxgan.speech.evaluation.compare W1 W2 ... --data=DIR`.

One table with 95 % intervals, paired tests of every run against the noisy speech and against the
first run, and one HTML file with everything to see and to hear. A score that rises while another
falls is pointed at: PESQ can be raised to 3.8 by speech that nobody wants to hear (de Oliveira et
al., "The PESQetarian", 2024).
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from ml_collections import ConfigDict
from rich.table import Table
from rich.text import Text

from jaxgan.core import command, devices
from jaxgan.core.command import Parser
from jaxgan.core.errors import UserError
from jaxgan.reporting import report
from jaxgan.reporting.statistics import Interval
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.registry import NAMES, USUAL, get, installed
from jaxgan.speech import enhancer
from jaxgan.speech.data import audio
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.evaluation.comparison import (
    NOISY,
    Comparison,
    Contest,
    contests,
    means,
    warnings,
)
from jaxgan.speech.evaluation.evaluate import Tell, enhance_and_score, named_scores, open_test_set
from jaxgan.speech.evaluation.tables import Columns, show
from jaxgan.speech.networks.stft import FrontEnd

OPINIONS = tuple(name for name in NAMES if name.startswith("dnsmos"))
PUBLIC = (*USUAL, *OPINIONS)
"""What is compared where nothing is asked for."""
BESIDE_PESQ = ("si_sdr", "estoi", *OPINIONS)
"""What PESQ is never shown without: it can be gamed."""


def make_table(comparison: Comparison, title: str) -> Table:
    """A row for every system, a column for every score: means over their intervals."""
    caption = (
        "mean, and its 95 % interval (bootstrap over utterances); all at 16000 Hz\n"
        f"{len(comparison.names)} utterances; one that lacks a score in some system counts for "
        "that score in none"
    )
    table = Table(title=Text(title), caption=Text(caption))
    table.add_column("system")
    found = means(comparison)
    for score in comparison.scores:
        table.add_column(score, justify="right")
    for name in comparison.columns:
        cells = [_cell(found[score][name]) for score in comparison.scores]
        table.add_row(Text(name), *cells)
    return table


def _cell(interval: Interval) -> str:
    if np.isnan(interval.mean):
        return "-"
    return f"{interval.mean:.3f}\n{interval.low:.2f}..{interval.high:.2f}"


def markdown(comparison: Comparison) -> str:
    """The table of means for a page of results."""
    found = means(comparison)
    rows = [["system", *comparison.scores], ["---"] * (len(comparison.scores) + 1)]
    for name in comparison.columns:
        rows.append([name, *(f"{found[score][name].mean:.3f}" for score in comparison.scores)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def system_names(workdirs: Sequence[str]) -> list[str]:
    """The last part of each folder's path, or as many as tell them apart.

    Raises:
        UserError: one folder is given twice.
    """
    paths = [PurePath(str(workdir).rstrip("/")) for workdir in workdirs]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names) and NOISY not in names:
            return names
    raise UserError(f"compare: one folder twice in {', '.join(map(str, workdirs))}")


def compared_scores(scores: str) -> dict[str, str]:
    """As `evaluate.named_scores`, with PESQ in company."""
    available = installed()
    paths = named_scores(scores, [name for name in PUBLIC if name in available])
    if not any(name.startswith("pesq") for name in paths):
        return paths
    return paths | {name: name for name in BESIDE_PESQ if name in available}


def compare(
    workdirs: Sequence[str],
    data: str | None = None,
    checkpoint: str = "best",
    output: str | None = None,
    scores: str = "",
    tell: Tell = print,
) -> Comparison:
    """Enhances a test set with every run, scores all, and writes what there is to say.

    Args:
        workdirs: folders of runs that train an enhancer.
        data: a folder with `clean` and `noisy`; None: the validation data of the first run.
        checkpoint: "best", "last" or a round, of every run.
        output: folder for report.html, table.md, scores.csv, summary.json and each run's enhanced
            files; None: compare-NAME, NAME being that of the data's folder, or "valid".
        scores: see `evaluate.named_scores`; "": those of PUBLIC that are installed. Beside PESQ
            stand those of BESIDE_PESQ that are installed, too.
        tell: gets what there is to say, line by line.

    Raises:
        UserError: a folder, a checkpoint, data or a score that cannot be used.
    """
    names = system_names(workdirs)
    trained = [enhancer.load(workdir, checkpoint) for workdir in workdirs]
    paths = compared_scores(scores)
    title = f"{', '.join(names)} on {data or f'the validation data of {names[0]}'}"
    place = Path(output or f"compare-{Path(data).resolve().name if data else 'valid'}")
    columns: dict[str, Columns] = {}
    with ScorePool(list(paths.values()), SAMPLE_RATE) as pool:
        corpus = open_test_set(trained[0].config, data, tell)
        with audio.writable(place):
            place.mkdir(parents=True, exist_ok=True)
            pool.wait_until_ready()
            for name, system in zip(names, trained, strict=True):
                folder = place / "enhanced" / name
                noisy = columns.get(NOISY)
                results = enhance_and_score(system, corpus, paths, pool, folder, noisy)
                columns[NOISY] = results.noisy
                columns[name] = results.enhanced
    better = {name: get(path).higher_is_better for name, path in paths.items()}
    comparison = Comparison(
        corpus.names, corpus.lengths / SAMPLE_RATE, columns, better, corpus.conditions
    )
    show(make_table(comparison, title))
    found = contests(comparison)
    for line in warnings(found):
        tell(f"look out: {line}")
    configs = {name: system.config for name, system in zip(names, trained, strict=True)}
    folders = dict(zip(names, workdirs, strict=True))
    with audio.writable(place):
        write(comparison, found, place)
        page = make_page(comparison, found, title, corpus, configs, folders, place)
        (place / "report.html").write_text(page, encoding="utf-8", errors="replace")
    tell(f"report, scores and enhanced files: {place}")
    return comparison


def make_page(
    comparison: Comparison,
    found: Sequence[Contest],
    title: str,
    corpus: PairCorpus,
    configs: dict[str, ConfigDict],
    folders: dict[str, str],
    place: Path,
) -> str:
    """The report, one HTML page that needs nothing beside itself."""
    front_end = FrontEnd(**next(iter(configs.values())).front_end)
    parts = [
        report.paragraph(f"{len(comparison.names)} utterances, {comparison.seconds.sum():.0f} s."),
        report.warning_box(warnings(found)),
        report.section("Scores", report.score_table(means(comparison), found)),
        *(
            report.section(f"By {condition}", report.breakdown(comparison, condition))
            for condition in comparison.conditions
        ),
        report.section("Differences", report.contest_table(found)),
        report.section("By utterance", report.scatter(comparison.columns, NOISY)),
        report.section("Training", report.curves(folders)),
        report.section("Configs", report.config_table(configs)),
        report.section("Utterances", _examples(comparison, corpus, front_end, place)),
    ]
    return report.page(title, [part for part in parts if part])


def _examples(comparison: Comparison, corpus: PairCorpus, front_end: FrontEnd, place: Path) -> str:
    """Utterances on every side, from the greatest mean gain in the first score to the least."""
    score = comparison.scores[0]
    noisy = comparison.columns[NOISY][score]
    gain = np.mean([comparison.columns[name][score] - noisy for name in comparison.systems], axis=0)
    if not comparison.higher_is_better[score]:
        gain = -gain
    ranked = np.argsort(-gain, kind="stable")[: np.count_nonzero(np.isfinite(gain))]
    shown = np.unique(np.linspace(0, len(ranked) - 1, report.EXAMPLES).round().astype(int))
    blocks = []
    for number in ranked[shown] if len(ranked) else []:
        name = comparison.names[number]
        sides = {"clean": corpus.clean(number), NOISY: corpus.noisy(number)}
        for system in comparison.systems:
            sides[system], _ = audio.read(place / "enhanced" / system / f"{name}.wav")
        values = {
            side: {score: columns[score][number] for score in comparison.scores}
            for side, columns in comparison.columns.items()
        }
        blocks.append(report.example(name, sides, values, front_end))
    return "".join(blocks)


def write(comparison: Comparison, found: Sequence[Contest], place: Path) -> None:
    """Writes scores.csv (a row an utterance), summary.json (means, intervals, tests), table.md."""
    (place / "table.md").write_text(markdown(comparison))
    with (place / "scores.csv").open("w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        columns = {
            f"{system}_{score}": values
            for system, scores in comparison.columns.items()
            for score, values in scores.items()
        }
        writer.writerow(["name", "seconds", *columns])
        for row, (name, seconds) in enumerate(
            zip(comparison.names, comparison.seconds, strict=True)
        ):
            cells = [f"{v[row]:.6f}" if np.isfinite(v[row]) else "" for v in columns.values()]
            writer.writerow([name, f"{seconds:.4f}", *cells])
    summary = {
        "count": len(comparison.names),
        "means": {
            score: {name: _plain(interval) for name, interval in systems.items()}
            for score, systems in means(comparison).items()
        },
        "contests": [
            {
                "system": contest.system,
                "rival": contest.rival,
                "score": contest.score,
                "difference": _plain(contest.difference.mean),
                "p": contest.p,
                "better": contest.better,
            }
            for contest in found
        ],
        "warnings": warnings(found),
    }
    (place / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _plain(interval: Interval) -> list[float] | None:
    values = [interval.mean, interval.low, interval.high]
    return values if np.isfinite(values).all() else None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = Parser(
        description="Compares trained enhancers on one test set: a table with intervals, paired "
        "tests, and one HTML report to look at and to listen to."
    )
    parser.prog = "python -m jaxgan.speech.evaluation.compare"
    parser.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="the first is the baseline")
    parser.add_argument(
        "--data", metavar="DIR", help="as for eval.py; default: validation data of the first run"
    )
    parser.add_argument("--checkpoint", default="best", metavar="best|last|ROUND")
    parser.add_argument("--scores", default="", metavar="all|NAME,NAME,...")
    parser.add_argument("--output", metavar="DIR", help="default: compare-NAME_OF_DATA")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `command.run`."""

    def action() -> None:
        flags = parse(arguments)
        devices.prepare()
        compare(flags.workdirs, flags.data, flags.checkpoint, flags.output, flags.scores)

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main())
