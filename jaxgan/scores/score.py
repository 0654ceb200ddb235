"""A score: a measure of an estimate against its reference, with a range and a map to [0, 1].

A score needs no gradient and does not depend on jax: it takes NumPy arrays on the host.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.core.importing import one_line

Measure = Callable[[np.ndarray, np.ndarray, int], float]
"""(reference float64 [n], estimate float64 [n], sample rate in Hz) -> raw score."""

INT16_SCALE = 32768.0
_ROUNDING = 1e-5
_clipped: set[str] = set()
_log = logging.getLogger(__name__)


class Unscorable(Exception):  # noqa: N818  (an outcome of measuring, not a defect)
    """Raised by a measure for a pair that has no score; `Score` then returns NaN."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure together with its name, its range and its map to [0, 1].

    Attributes:
        name: the name used in logs and tables, e.g. "pesq_wb".
        lowest: lower end of the raw scale. If the scale is unbounded, the value at which the range
            map clips.
        highest: upper end of the raw scale, or the upper clipping value.
        higher_is_better: whether a higher raw score means a better estimate.
        measure: computes the raw score; raises Unscorable if the pair has none.
        own_map: published map from raw scores to about [0, 1]; None to map by the range.
        device: the same measure as a JAX function of batches: (reference [B, T], estimate [B, T],
            both int16 or float32, lengths int32 [B]) -> raw scores float32 [B], NaN for pairs
            without a score. None if there is no such function.
        prepare: loads what the first call would load otherwise; workers call it before they take
            tasks, so that it counts for no deadline. None if there is nothing to load.
        text: (estimate float64 [n], sample rate in Hz) -> the description that the score rates, for
            people to read; may raise Unscorable. None if there is none.
    """

    name: str
    lowest: float
    highest: float
    higher_is_better: bool
    measure: Measure
    own_map: Callable[[Any], Any] | None = None
    device: Callable[[Any, Any, Any], Any] | None = None
    prepare: Callable[[], None] | None = None
    text: Callable[[np.ndarray, int], str] | None = None

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        """Returns the raw score of one pair, or NaN if the pair has no score.

        A pair has no score if the lengths differ, there are no samples, a sample is not finite, one
        signal is silent, or the measure raises Unscorable (too short, no speech found) or returns a
        value that is not finite.

        Args:
            reference: int16 [n], or floating [n] with full scale 1.
            estimate: the signal to be scored, in either of the same formats.
            sample_rate: sample rate of both signals in Hz.

        Raises:
            TypeError: the samples are neither int16 nor floating.
            ValueError: an array is not one-dimensional, or the measure does not support the sample
                rate. Any other exception of a user's own measure is passed on as it is.
        """
        pair = as_waveform(reference), as_waveform(estimate)
        try:
            _require_signal(*pair)
            raw = float(self.measure(*pair, sample_rate))
        except Unscorable:
            return math.nan
        return raw if math.isfinite(raw) else math.nan

    def description(self, estimate: np.ndarray, sample_rate: int) -> str:
        """Returns `text` of an estimate, int16 or floating [n]; "" if there is none.

        If `text` raises an error, the result says so: a server that does not answer must not end
        the training that shows its descriptions.
        """
        if self.text is None:
            return ""
        try:
            return self.text(as_waveform(estimate), sample_rate)
        except Unscorable as reason:
            return f"no description: {reason}"
        except Exception as error:
            return f"no description: {one_line(error)}"

    def normalise(self, raw: Any) -> Any:
        """Returns raw scores mapped for training: best is about 1, worst about 0; NaN stays NaN.

        Uses `own_map` if the score has one, and otherwise the range map described at `by_range`.

        Args:
            raw: a float, or a NumPy or JAX array of any shape.
        """
        return self.own_map(raw) if self.own_map else self._map_by_range(raw)

    def _map_by_range(self, raw: Any) -> Any:
        worst, best = self.lowest, self.highest
        if not self.higher_is_better:
            worst, best = best, worst
        unit = (raw - worst) / (best - worst)
        if isinstance(unit, float | np.ndarray | np.generic):  # not while jax traces it
            _report_clipped(self, np.atleast_1d(raw), np.atleast_1d(unit))
        # np.clip fails on traced JAX arrays, and Python floats have no `clip` method.
        return unit.clip(0.0, 1.0) if hasattr(unit, "clip") else min(max(unit, 0.0), 1.0)


def _report_clipped(score: Score, raw: np.ndarray, unit: np.ndarray) -> None:
    """Logs, once for each score, that the range map clips a value."""
    beyond = raw[(unit < -_ROUNDING) | (unit > 1 + _ROUNDING)]
    if len(beyond) and score.name not in _clipped:
        _clipped.add(score.name)
        _log.warning(
            "%s: the score %.4g is outside of its declared range of %g to %g and is clipped to it "
            "for training (logged once)",
            *(score.name, beyond[0], score.lowest, score.highest),
        )


def cache_last(measure: Measure) -> Measure:
    """Returns the measure with a cache of its most recent pair.

    The composite scores are computed from other scores: with the cache, asking for both computes
    the shared parts only once. An exception is not cached.
    """
    last: tuple[np.ndarray, np.ndarray, int, float] | None = None

    def cached(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        nonlocal last
        known = last
        if (
            known is None
            or known[2] != sample_rate
            or not np.array_equal(known[0], reference)
            or not np.array_equal(known[1], estimate)
        ):
            value = measure(reference, estimate, sample_rate)
            last = known = (reference.copy(), estimate.copy(), sample_rate, value)
        return known[3]

    return cached


def by_range(score: Score) -> Score:
    """Returns the same score with `normalise` set to its range map.

    The range map is (raw - lowest) / (highest - lowest), clipped to [0, 1], or one minus that if
    lower is better.
    """
    return dataclasses.replace(score, own_map=None)


def with_map(score: Score, score_map: str) -> Score:
    """Returns the score with the map that a config names.

    Args:
        score: the score.
        score_map: "paper" for the score's own map (see `Score.own_map`), "range" for `by_range`.

    Raises:
        UserError: `score_map` is neither of the two.
    """
    if score_map == "paper":
        return score
    if score_map == "range":
        return by_range(score)
    raise UserError(f"score_map: '{score_map}' is unknown; use 'paper' or 'range'")


def as_waveform(samples: np.ndarray) -> np.ndarray:
    """Returns int16 or floating samples as float64 [n] with full scale 1."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"a score takes one channel, an array [samples], not {samples.shape}")
    if samples.dtype == np.int16:
        return samples / INT16_SCALE
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float64)
    raise TypeError(f"a score takes int16 or floating samples, not {samples.dtype}")


def _require_signal(reference: np.ndarray, estimate: np.ndarray) -> None:
    if len(reference) != len(estimate):
        raise Unscorable(f"reference of {len(reference)} samples, estimate of {len(estimate)}")
    for side, samples in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(samples).all():
            raise Unscorable(f"the {side} has samples that are not finite")
        if not samples.any():
            raise Unscorable(f"the {side} is silent")
