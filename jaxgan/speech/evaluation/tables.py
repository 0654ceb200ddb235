"""Scores of an evaluation: the table, the means, and the files that other tools read."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats

from jaxgan.speech.data.corpus import Conditions

CONFIDENCE = 0.95
Columns = dict[str, np.ndarray]
"""Raw scores by name: float64 [utterances], NaN where an utterance has none."""


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of a test set before and after.

    Attributes:
        names: of the utterances.
        seconds: float64 [n], their lengths.
        noisy: scores of the noisy side.
        enhanced: scores of the enhanced side, of the same names in the same order.
        conditions: of the corpus, see `PairCorpus`.
    """

    names: Sequence[str]
    seconds: np.ndarray
    noisy: Columns
    enhanced: Columns
    conditions: Conditions = field(default_factory=dict)

    @property
    def unscorable(self) -> int:
        """How many utterances lack at least one score on at least one side."""
        columns = [*self.noisy.values(), *self.enhanced.values()]
        return int(np.count_nonzero(np.isnan(np.stack(columns)).any(axis=0)))

    def pairs(self, score: str) -> tuple[np.ndarray, np.ndarray]:
        """(noisy, enhanced) of the utterances that have this score on both sides.

        Means over other utterances on one side than on the other could not be compared.
        """
        both = np.isfinite(self.noisy[score]) & np.isfinite(self.enhanced[score])
        return self.noisy[score][both], self.enhanced[score][both]

    def by(self, condition: str) -> "dict[str, Results]":
        """The results of each of a condition's words, numbers first and in their order."""
        words = np.array(self.conditions[condition])
        parts = {}
        for word in sorted(set(words.tolist()), key=numbers_first):
            rows = np.flatnonzero(words == word)
            noisy, enhanced = (
                {score: values[rows] for score, values in side.items()}
                for side in (self.noisy, self.enhanced)
            )
            names = [self.names[row] for row in rows.tolist()]
            parts[word] = Results(names, self.seconds[rows], noisy, enhanced)
        return parts


def numbers_first(word: str) -> tuple[float, str]:
    """A key that sorts numbers by their value, and words behind them."""
    try:
        return float(word), ""
    except ValueError:
        return math.inf, word


def make_breakdown(results: Results, condition: str) -> Table:
    """Mean scores, noisy and enhanced, of each of a condition's words."""
    title = Text(f"by {condition}: noisy to enhanced")
    table = Table(title=title, title_justify="left")
    table.add_column(Text(condition))
    table.add_column("utterances", justify="right")
    for score in results.noisy:
        table.add_column(Text(score), justify="right")
    for word, part in results.by(condition).items():
        means = [[mean_and_interval(side)[0] for side in part.pairs(s)] for s in part.noisy]
        cells = [
            "-" if math.isnan(noisy) else f"{noisy:.2f} to {enhanced:.2f}"
            for noisy, enhanced in means
        ]
        table.add_row(Text(word), str(len(part.names)), *cells)
    return table


def show(table: Table) -> None:
    """Prints a table in full, however narrow the terminal: broken lines lose less than cells."""
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)


def mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """The mean, and the half width of its 95 % interval (Student's t over the values).

    NaN where there are too few values: none for a mean, one for an interval.
    """
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan), math.nan
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    error = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(quantile * error)


def make_table(results: Results, title: str) -> Table:
    """Mean, interval and gain of every score."""
    caption = (
        "mean ± 95 % interval of the mean (Student's t over utterances); all at 16000 Hz\n"
        f"{len(results.names)} utterances, {results.unscorable} of them without some score"
    )
    table = Table(title=Text(title), caption=Text(caption))  # text, for names may hold brackets
    for heading in ("score", "noisy", "enhanced", "gain", "utterances"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for score in results.noisy:
        noisy, enhanced = results.pairs(score)
        columns = [_print(values) for values in (noisy, enhanced)]
        gain = _print(enhanced - noisy, "+")
        table.add_row(Text(score), *columns, gain, str(len(noisy)))
    return table


def write_csv(results: Results, path: Path) -> None:
    """A row for every utterance: name, seconds, conditions, each score of noisy and of enhanced.

    What has no score is empty.
    """
    sides = (("noisy", results.noisy), ("enhanced", results.enhanced))
    columns = [
        (f"{side}_{score}", values) for side, all_ in sides for score, values in all_.items()
    ]
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        headings = (*results.conditions, *(heading for heading, _ in columns))
        writer.writerow(["name", "seconds", *headings])
        for row, (name, seconds) in enumerate(zip(results.names, results.seconds, strict=True)):
            scores = [_cell(values[row]) for _, values in columns]
            known = [words[row] for words in results.conditions.values()]
            writer.writerow([name, f"{seconds:.4f}", *known, *scores])


def summarise(results: Results) -> dict[str, object]:
    """What summary.json holds; null is the mean of a score that no utterance has on both sides.

    Where conditions are known, "by" holds the same for each of their words.
    """
    means: dict[str, dict[str, float | None]] = {"noisy": {}, "enhanced": {}}
    for score in results.noisy:
        for side, values in zip(means, results.pairs(score), strict=True):
            mean, _ = mean_and_interval(values)
            means[side][score] = mean if math.isfinite(mean) else None
    summary = {"count": len(results.names), "unscorable": results.unscorable, **means}
    if results.conditions:
        summary["by"] = {
            condition: {word: summarise(part) for word, part in results.by(condition).items()}
            for condition in results.conditions
        }
    return summary


def write_summary(results: Results, path: Path) -> None:
    """Writes `summarise` as JSON."""
    path.write_text(json.dumps(summarise(results), indent=2) + "\n")


def _print(values: np.ndarray, sign: str = "") -> str:
    mean, half = mean_and_interval(values)
    if math.isnan(mean):
        return "-"
    return f"{mean:{sign}.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")


def _cell(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
