"""Scores of an evaluation: the table, the means, and the files that other tools read."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text
from scipy import stats

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
    """

    names: Sequence[str]
    seconds: np.ndarray
    noisy: Columns
    enhanced: Columns

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
    """A row for every utterance: name, seconds, and each score of noisy and of enhanced.

    What has no score is empty.
    """
    sides = (("noisy", results.noisy), ("enhanced", results.enhanced))
    columns = [
        (f"{side}_{score}", values) for side, all_ in sides for score, values in all_.items()
    ]
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "seconds", *(heading for heading, _ in columns)])
        for row, (name, seconds) in enumerate(zip(results.names, results.seconds, strict=True)):
            scores = [_cell(values[row]) for _, values in columns]
            writer.writerow([name, f"{seconds:.4f}", *scores])


def summarise(results: Results) -> dict[str, object]:
    """What summary.json holds; null is the mean of a score that no utterance has on both sides."""
    means: dict[str, dict[str, float | None]] = {"noisy": {}, "enhanced": {}}
    for score in results.noisy:
        for side, values in zip(means, results.pairs(score), strict=True):
            mean, _ = mean_and_interval(values)
            means[side][score] = mean if math.isfinite(mean) else None
    return {"count": len(results.names), "unscorable": results.unscorable, **means}


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
