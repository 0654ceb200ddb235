"""What a score is: a measure of an estimate against its reference, its range, its map to [0, 1].

A score needs no gradient and knows no jax: it sees NumPy arrays on the host.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgan.core.errors import UserError

Measure = Callable[[np.ndarray, np.ndarray, int], float]
"""(reference float64 [n], estimate float64 [n], sample rate in Hz) -> raw score."""

INT16_SCALE = 32768.0


class Unscorable(Exception):  # noqa: N818  (an outcome of measuring, not a defect)
    """This pair has no score: the message says why. A measure raises it; a Score returns NaN."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure with its range.

    Attributes:
        name: as in logs and tables, e.g. "pesq_wb".
        lowest: the low end of the raw scale; of an unbounded scale, where `by_range` clips it.
        highest: the high end, likewise.
        higher_is_better: whether `highest` is the good end.
        measure: computes the raw score; raises Unscorable where there is none.
        own_map: raw -> about [0, 1] as a paper prints it; None where the range is the map.
        device: the same measure in JAX, for batches: (reference [B, T], estimate [B, T], both int16
            or float32, lengths int32 [B]) -> raw scores float32 [B], NaN where there is none.
    """

    name: str
    lowest: float
    highest: float
    higher_is_better: bool
    measure: Measure
    own_map: Callable[[Any], Any] | None = None
    device: Callable[[Any, Any, Any], Any] | None = None

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        """The raw score of one pair, or NaN where it has none.

        NaN: unequal lengths, no samples, a sample that is not finite, either side silent, and what
        the measure itself calls unscorable (too short, no speech found).

        Args:
            reference: int16 [n], or floating [n] with full scale 1.
            estimate: likewise.
            sample_rate: of both, in Hz.

        Raises:
            TypeError, ValueError: the arrays are no waveforms, or the measure does not know the
                sample rate. Whatever else a measure of the user's own raises comes through too.
        """
        pair = _waveform(reference), _waveform(estimate)
        try:
            _require_signal(*pair)
            raw = float(self.measure(*pair, sample_rate))
        except Unscorable:
            return math.nan
        return raw if math.isfinite(raw) else math.nan

    def normalise(self, raw: Any) -> Any:
        """Raw scores mapped for training: 1 is the best, about 0 the worst; NaN stays NaN.

        The map that the paper prints where there is one, else the range map of `by_range`.

        Args:
            raw: a float, or a NumPy or JAX array of any shape.
        """
        return self.own_map(raw) if self.own_map else self._place_in_range(raw)

    def _place_in_range(self, raw: Any) -> Any:
        worst, best = self.lowest, self.highest
        if not self.higher_is_better:
            worst, best = best, worst
        unit = (raw - worst) / (best - worst)
        # Not np.clip, which a traced JAX array refuses; plain floats have no method for it.
        return unit.clip(0.0, 1.0) if hasattr(unit, "clip") else min(max(unit, 0.0), 1.0)


def remembering(measure: Measure) -> Measure:
    """The measure, which does not compute anew for the pair that it was last asked for.

    Some scores are made of others: whoever wants both has them computed once.
    """
    last: tuple[np.ndarray, np.ndarray, int, float] | None = None

    def again(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
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

    return again


def by_range(score: Score) -> Score:
    """The same score, normalised by its range.

    (raw - lowest) / (highest - lowest), clipped to [0, 1]; turned round where lower is better.
    """
    return dataclasses.replace(score, own_map=None)


def with_map(score: Score, score_map: str) -> Score:
    """The score with the map that a config names: "paper" (its own, see Score) or "range".

    Raises:
        UserError: another name.
    """
    if score_map == "paper":
        return score
    if score_map == "range":
        return by_range(score)
    raise UserError(f"score_map: '{score_map}' is unknown; give 'paper' or 'range'")


def _waveform(samples: np.ndarray) -> np.ndarray:
    """float64 [n] with full scale 1 from int16 or floating samples."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"a score takes one channel, an array of [samples], not {samples.shape}")
    if samples.dtype == np.int16:
        return samples / INT16_SCALE
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float64)
    raise TypeError(f"a score takes int16 or floating samples, not {samples.dtype}")


def _require_signal(reference: np.ndarray, estimate: np.ndarray) -> None:
    if len(reference) != len(estimate):
        raise Unscorable(f"{len(reference)} samples of reference, {len(estimate)} of estimate")
    for side, samples in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(samples).all():
            raise Unscorable(f"{side} has samples that are not finite")
        if not samples.any():
            raise Unscorable(f"{side} is silent")
