"""Scores of noisy and enhanced speech: the table, the means by condition, and the files."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxgan.reporting import tables
from jaxgan.reporting.comparison import Comparison, Difference, mixed_results
from jaxgan.reporting.statistics import mean_and_half_width
from jaxgan.reporting.tables import Cell, Columns, Table, groups, or_none, scored_in_all
from jaxgan.speech.data.corpus import Conditions


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of a test set before and after enhancement.

    Attributes:
        names: the names of the utterances.
        seconds: float64 [n], their lengths.
        noisy: scores of the noisy side.
        enhanced: scores of the enhanced side, with the same names in the same order.
        conditions: those of the corpus, see `PairCorpus`.
    """

    names: Sequence[str]
    seconds: np.ndarray
    noisy: Columns
    enhanced: Columns
    conditions: Conditions = field(default_factory=dict)

    @property
    def sides(self) -> dict[str, Columns]:
        """The scores by the name of the side."""
        return {"noisy": self.noisy, "enhanced": self.enhanced}

    @property
    def unscorable(self) -> int:
        """The number of utterances that lack at least one score on at least one side."""
        complete = [scored_in_all(self.sides, score) for score in self.noisy]
        return int(np.count_nonzero(~np.stack(complete).all(axis=0)))

    def pairs(self, score: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns (noisy, enhanced) of the utterances that have this score on both sides."""
        both = scored_in_all(self.sides, score)
        return self.noisy[score][both], self.enhanced[score][both]

    def by(self, condition: str) -> "dict[str, Results]":
        """Returns the results by the value of a condition, in the order of `groups`."""
        parts = {}
        for value, rows in groups(self.conditions[condition]).items():
            noisy, enhanced = (
                {score: values[rows] for score, values in side.items()}
                for side in self.sides.values()
            )
            names = [self.names[row] for row in rows.tolist()]
            parts[value] = Results(names, self.seconds[rows], noisy, enhanced)
        return parts


def make_table(results: Results, title: str, lower_is_better: Collection[str] = ()) -> Table:
    """Returns mean, interval and gain of every score.

    Args:
        results: the scores.
        title: the title of the table.
        lower_is_better: the scores whose gain is noisy minus enhanced, not enhanced minus noisy.
    """
    caption = (
        "mean ± 95 % interval of the mean (Student's t over utterances); all at 16000 Hz\n"
        "a positive gain is an improvement\n"
        f"{len(results.names)} utterances, {results.unscorable} of them without some score"
    )
    rows = []
    for score in results.noisy:
        noisy, enhanced = results.pairs(score)
        gain = noisy - enhanced if score in lower_is_better else enhanced - noisy
        texts = (
            score,
            _mean_text(noisy),
            _mean_text(enhanced),
            _mean_text(gain, "+"),
            str(len(noisy)),
        )
        rows.append([Cell(text) for text in texts])
    return Table(("score", "noisy", "enhanced", "gain", "utterances"), rows, title, caption)


def warnings(differences: Sequence[Difference]) -> list[str]:
    """Returns a line for each pair of systems of which one gains some scores and loses others."""
    return [f"{line}: listen before you believe a score" for line in mixed_results(differences)]


def gain_warnings(results: Results, lower_is_better: Collection[str] = ()) -> list[str]:
    """Returns `warnings` of the enhanced speech in comparison with the noisy speech."""
    higher = {score: score not in lower_is_better for score in results.noisy}
    comparison = Comparison(results.names, results.sides, ("noisy",), higher)
    return warnings(comparison.differences)


def make_breakdown(results: Results, condition: str) -> Table:
    """Returns the mean scores, noisy and enhanced, for each value of a condition."""
    rows = []
    for value, part in results.by(condition).items():
        means = [[mean_and_half_width(side)[0] for side in part.pairs(s)] for s in part.noisy]
        texts = [
            "-" if math.isnan(noisy) else f"{noisy:.2f} to {enhanced:.2f}"
            for noisy, enhanced in means
        ]
        rows.append([Cell(text) for text in (value, str(len(part.names)), *texts)])
    headings = (condition, "utterances", *results.noisy)
    return Table(headings, rows, f"by {condition}: noisy to enhanced")


def summarise(results: Results) -> dict[str, object]:
    """Returns the content of summary.json: counts, and the means of every score on both sides.

    The mean of a score that no utterance has on both sides is None. If the corpus has conditions,
    "by" holds the same for each of their values.
    """
    means: dict[str, dict[str, float | None]] = {"noisy": {}, "enhanced": {}}
    for score in results.noisy:
        for side, values in zip(means, results.pairs(score), strict=True):
            means[side][score] = or_none(mean_and_half_width(values)[0])
    summary = {"count": len(results.names), "unscorable": results.unscorable, **means}
    if results.conditions:
        summary["by"] = {
            condition: {value: summarise(part) for value, part in results.by(condition).items()}
            for condition in results.conditions
        }
    return summary


def write_scores(results: Results, path: Path) -> None:
    """Writes a row for each utterance: name, seconds, conditions and the scores of both sides.

    Cells without a score are empty.
    """
    seconds = [f"{value:.4f}" for value in results.seconds]
    numbers = {
        f"{side}_{score}": values
        for side, columns in results.sides.items()
        for score, values in columns.items()
    }
    texts = {"name": results.names, "seconds": seconds, **results.conditions}
    tables.write_csv(path, texts, numbers)


def _mean_text(values: np.ndarray, sign: str = "") -> str:
    mean, half = mean_and_half_width(values)
    if math.isnan(mean):
        return "-"
    return f"{mean:{sign}.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")
