"""Several systems' scores of one test set: means, paired tests, and what they warn of."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxgan.reporting.statistics import Difference, Interval, bootstrap, compare_paired, holm
from jaxgan.speech.data.corpus import Conditions
from jaxgan.speech.evaluation.tables import Columns

NOISY = "noisy"
"""The name of the first of the systems compared: none."""
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of several systems on one test set.

    Attributes:
        names: of the utterances.
        seconds: float64 [n], their lengths.
        columns: of every system, the noisy speech first: raw scores [n] by name, NaN for none.
        higher_is_better: of every score.
        conditions: of the corpus, see `PairCorpus`.
    """

    names: Sequence[str]
    seconds: np.ndarray
    columns: dict[str, Columns]
    higher_is_better: dict[str, bool]
    conditions: Conditions = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """All but the noisy speech."""
        return [name for name in self.columns if name != NOISY]

    @property
    def scores(self) -> list[str]:
        """Names."""
        return list(self.higher_is_better)

    def values(self, score: str, among: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """By system, the scores of the utterances that have this score in every system.

        Args:
            score: name.
            among: bool [n]: of these utterances alone.
        """
        columns = {name: scores[score] for name, scores in self.columns.items()}
        known = np.isfinite(np.stack(list(columns.values()))).all(axis=0)
        known = known if among is None else known & among
        return {name: column[known] for name, column in columns.items()}


@dataclass(frozen=True)
class Contest:
    """One system against another in one score.

    Attributes:
        system: the one.
        rival: the other.
        score: name.
        difference: system minus rival.
        p: corrected for all contests of the comparison.
        leans: +1 and -1 where the difference's interval leaves 0 out, for better and for worse;
            else 0.
        better: the same where p is small, too.
    """

    system: str
    rival: str
    score: str
    difference: Difference
    p: float
    leans: int
    better: int


def means(comparison: Comparison) -> dict[str, dict[str, Interval]]:
    """By score and system, the mean and its interval."""
    return {
        score: {name: bootstrap(values) for name, values in comparison.values(score).items()}
        for score in comparison.scores
    }


def contests(comparison: Comparison) -> list[Contest]:
    """Every system against the noisy speech, and every later one against the first."""
    first, *others = comparison.systems
    pairs = [(name, NOISY) for name in comparison.systems] + [(name, first) for name in others]
    found = []
    for score in comparison.scores:
        values = comparison.values(score)
        if len(values[NOISY]):
            found += [
                (system, rival, score, compare_paired(values[rival], values[system]))
                for system, rival in pairs
            ]
    corrected = holm([difference.p for *_, difference in found])
    result = []
    for (system, rival, score, difference), p in zip(found, corrected, strict=True):
        sign = np.sign(difference.mean.mean) * (1 if comparison.higher_is_better[score] else -1)
        leans = int(sign) if difference.mean.low * difference.mean.high > 0 else 0
        better = leans if p < SIGNIFICANT else 0
        result.append(Contest(system, rival, score, difference, p, leans, better))
    return result


def warnings(found: Sequence[Contest]) -> list[str]:
    """A line for every pair of systems of which one gains in some scores and loses in others.

    A loss need not be certain to be told: few utterances leave no p-value small.
    """
    lines = []
    for system, rival in dict.fromkeys((contest.system, contest.rival) for contest in found):
        own = [c for c in found if (c.system, c.rival) == (system, rival)]
        gains, losses = (
            [f"{c.score} ({c.difference.mean.mean:+.3f})" for c in own if c.leans == leans]
            for leans in (1, -1)
        )
        if gains and losses:
            lines.append(
                f"{system} gains {', '.join(gains)} over {rival} and loses {', '.join(losses)}: "
                "listen before you believe a score"
            )
    return lines
