"""Comparison of several systems: means and paired tests over the same items, tables and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.reporting import figures, report
from jaxgan.reporting.report import Image
from jaxgan.reporting.statistics import Interval, PairedTest, bootstrap, holm, paired_test
from jaxgan.reporting.tables import (
    Cell,
    Columns,
    Table,
    groups,
    scored_in_all,
    to_markdown,
    write_csv,
    write_json,
)

SIGNIFICANT = 0.05
_SIGNIFICANCE = f"where the difference's interval excludes 0 and p is below {SIGNIFICANT}"


@dataclass(frozen=True)
class Difference:
    """The difference of two systems in one score.

    Attributes:
        system: the system compared.
        baseline: the system that it is compared with.
        score: the name of the score.
        mean: mean and interval of the system's scores minus the baseline's.
        p: p-value corrected for all tests of the comparison.
        direction: +1 (better) or -1 (worse) if the interval excludes 0, else 0.
        verdict: the same if p < 0.05 as well, else 0.
    """

    system: str
    baseline: str
    score: str
    mean: Interval
    p: float
    direction: int
    verdict: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of several systems on the same items.

    Attributes:
        names: one name per item.
        columns: scores by system.
        baselines: names of systems; each system is compared with every baseline that precedes it
            in `columns`.
        higher_is_better: whether higher is better, by score; the order of the scores is that of the
            tables' columns.
        conditions: properties of the items, one word per item for each condition.
        noun: the name for the items, in the plural.
    """

    names: Sequence[str]
    columns: Mapping[str, Columns]
    baselines: Sequence[str]
    higher_is_better: Mapping[str, bool]
    conditions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    noun: str = "items"

    @property
    def scores(self) -> list[str]:
        """The names of the scores."""
        return list(self.higher_is_better)

    @cached_property
    def means(self) -> dict[str, dict[str, Interval]]:
        """Mean and interval by score and system, over the items scored in all systems."""
        return {
            score: {name: bootstrap(column[score][known]) for name, column in self.columns.items()}
            for score, known in self._known.items()
        }

    @cached_property
    def differences(self) -> list[Difference]:
        """Every system against each of its baselines, in every score that some item has."""
        systems = list(self.columns)
        pairs = [
            (system, baseline)
            for baseline in self.baselines
            for system in systems[systems.index(baseline) + 1 :]
        ]
        tests = [
            (
                system,
                baseline,
                score,
                paired_test(
                    self.columns[baseline][score][known], self.columns[system][score][known]
                ),
            )
            for score, known in self._known.items()
            if known.any()
            for system, baseline in pairs
        ]
        corrected = holm([test.p for *_, test in tests])
        return [
            self._difference(system, baseline, score, test, p)
            for (system, baseline, score, test), p in zip(tests, corrected, strict=True)
        ]

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        return {score: scored_in_all(self.columns, score) for score in self.scores}

    def _difference(
        self, system: str, baseline: str, score: str, test: PairedTest, p: float
    ) -> Difference:
        interval = test.difference
        sign = np.sign(interval.mean) * (1 if self.higher_is_better[score] else -1)
        direction = int(sign) if interval.low * interval.high > 0 else 0
        verdict = direction if p < SIGNIFICANT else 0
        return Difference(system, baseline, score, interval, p, direction, verdict)


def system_names(workdirs: Sequence[str], taken: str = "") -> list[str]:
    """Returns the last part of each folder's path, or as many parts as make the names distinct.

    Args:
        workdirs: the folders of runs.
        taken: a name that another system has.

    Raises:
        UserError: a folder is given twice, or has no other name than `taken`.
    """
    paths = [PurePath(str(workdir).rstrip("/")) for workdir in workdirs]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names) and taken not in names:
            return names
    if len(set(paths)) == len(paths):
        raise UserError(f"{taken}: this is already the name of another system; give a longer path")
    raise UserError(f"compare: {', '.join(map(str, workdirs))}: give each folder only once")


def training_curves(
    folders: Mapping[str, str], prefix: str, labels: Mapping[str, str] | None = None
) -> list[Image]:
    """Returns the curves of validation over the rounds, or nothing if no run has any.

    Args:
        folders: the folders of the runs, by name.
        prefix: the prefix of the metrics that are shown.
        labels: see `figures.curves`.
    """
    histories = {name: log.read(absolute(folder)) for name, folder in folders.items()}
    logged = (metric for rows in histories.values() for row in rows for metric in row)
    metrics = [
        metric
        for metric in dict.fromkeys(logged)
        if metric.startswith(prefix) and not metric.endswith("unscorable")
    ]
    if not metrics:
        return []
    return [
        report.drawing(figures.curves(histories, metrics, labels), "validation over the rounds")
    ]


def mixed_results(differences: Sequence[Difference]) -> list[str]:
    """Returns a line for each pair of systems of which one gains some scores and loses others.

    The lines are based on the intervals only, since few items cannot give a small p-value.
    """
    lines = []
    for system, baseline in _pairs(differences):
        own = [d for d in differences if (d.system, d.baseline) == (system, baseline)]
        gains, losses = (
            [f"{d.score} ({d.mean.mean:+.3f})" for d in own if d.direction == direction]
            for direction in (1, -1)
        )
        if gains and losses:
            lines.append(
                f"{system} gains {', '.join(gains)} over {baseline} and loses {', '.join(losses)}"
            )
    return lines


def means_table(comparison: Comparison, title: str = "") -> Table:
    """Returns a row for each system and a column for each score: means over their intervals.

    The verdicts are those against the first baseline.
    """
    first = comparison.baselines[0]
    verdicts = {
        (d.system, d.score): d.verdict for d in comparison.differences if d.baseline == first
    }
    rows = [
        [
            Cell(system),
            *(
                _interval_cell(intervals[system], verdict=verdicts.get((system, score), 0))
                for score, intervals in comparison.means.items()
            ),
        ]
        for system in comparison.columns
    ]
    caption = (
        f"Mean and its 95 % bootstrap interval over {len(comparison.names)} {comparison.noun}; "
        "those without a score in any one system are left out of that score. Green and red: better "
        f"and worse than {first}, {_SIGNIFICANCE}."
    )
    return Table(["system", *comparison.scores], rows, title, caption)


def condition_table(comparison: Comparison, condition: str) -> Table:
    """Returns the means of every system over the items of each of a condition's words."""
    rows = []
    for word, members in groups(comparison.conditions[condition]).items():
        columns = {
            system: {score: values[members] for score, values in scores.items()}
            for system, scores in comparison.columns.items()
        }
        known = {score: scored_in_all(columns, score) for score in comparison.scores}
        for system, scores in columns.items():
            cells = [
                Cell(f"{scores[score][complete].mean():.3f}" if complete.any() else "-")
                for score, complete in known.items()
            ]
            rows.append([Cell(f"{word} ({len(members)})"), Cell(system), *cells])
    return Table([f"{condition} ({comparison.noun})", "system", *comparison.scores], rows)


def difference_table(differences: Sequence[Difference]) -> Table:
    """Returns a row for each pair of systems and a column for each score.

    The cells hold the mean difference, its interval and the corrected p-value.
    """
    scores = list(dict.fromkeys(d.score for d in differences))
    by_place = {(d.system, d.baseline, d.score): d for d in differences}
    rows = []
    for system, baseline in _pairs(differences):
        own = [by_place[system, baseline, score] for score in scores]
        cells = [_interval_cell(d.mean, "+", f"\np {d.p:.2g}", d.verdict) for d in own]
        rows.append([Cell(f"{system} - {baseline}"), *cells])
    caption = (
        "Mean difference, its 95 % bootstrap interval, and the p-value of Wilcoxon's signed-rank "
        f"test after Holm's correction. Green and red: better and worse, {_SIGNIFICANCE}."
    )
    return Table(["difference", *scores], rows, caption=caption)


def config_table(systems: Mapping[str, ConfigDict]) -> Table:
    """Returns every key whose value is not the same in the configs of all systems."""
    first, *others = systems.values()
    keys = dict.fromkeys(key for other in others for key, _, _ in configs.differences(first, other))
    values = {name: configs.flat(config) for name, config in systems.items()}
    rows = [
        [Cell(key), *(Cell(str(values[name].get(key, "-"))) for name in systems)] for key in keys
    ]
    return Table(["key", *systems], rows)


def write_files(
    comparison: Comparison,
    folder: Path,
    details: Mapping[str, Sequence[str]],
    warnings: Sequence[str],
) -> None:
    """Writes scores.csv, summary.json and table.md.

    Args:
        comparison: the scores of each item, from which the means and tests are computed.
        folder: the folder to write to.
        details: columns of scores.csv between the names and the scores, by heading.
        warnings: lines for summary.json.
    """
    table = to_markdown(means_table(comparison))
    (folder / "table.md").write_text(table, encoding="utf-8", errors="surrogateescape")
    numbers = {
        f"{system}_{score}": values
        for system, scores in comparison.columns.items()
        for score, values in scores.items()
    }
    write_csv(folder / "scores.csv", {"name": comparison.names, **details}, numbers)
    summary = {
        "count": len(comparison.names),
        "means": {
            score: {name: _plain(interval) for name, interval in systems.items()}
            for score, systems in comparison.means.items()
        },
        "contests": [
            {
                "system": d.system,
                "rival": d.baseline,
                "score": d.score,
                "difference": _plain(d.mean),
                "p": d.p,
                "better": d.verdict,
            }
            for d in comparison.differences
        ],
        "warnings": list(warnings),
    }
    write_json(folder / "summary.json", summary)


def _pairs(differences: Sequence[Difference]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((d.system, d.baseline) for d in differences))


def _interval_cell(interval: Interval, sign: str = "", suffix: str = "", verdict: int = 0) -> Cell:
    if np.isnan(interval.mean):
        return Cell("-")
    note = f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}{suffix}"
    return Cell(f"{interval.mean:{sign}.3f}", note, verdict)


def _plain(interval: Interval) -> list[float] | None:
    values = [interval.mean, interval.low, interval.high]
    return values if np.isfinite(values).all() else None
