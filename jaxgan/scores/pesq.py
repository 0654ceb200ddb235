"""PESQ, the perceptual evaluation of speech quality, by the package `pesq` (ITU-T P.862 C code).

The C code keeps at most 50 utterances (stretches of speech between pauses) in arrays that it does
not guard: recordings of minutes can corrupt its memory and kill the process. ScorePool survives
that; a direct call does not.
"""

import math
from typing import Any

import numpy as np
import pesq as pesq_package

from jaxgan.scores.score import Measure, Score, Unscorable, remembering

_RATES = {"wb": (16000,), "nb": (8000, 16000)}
_SHORTEST_SECONDS = 0.25
# Mapping of the raw P.862 score in [-0.5, 4.5] to the printed one (P.862.1 for nb, P.862.2 for wb).
_SLOPE_AND_SHIFT = {"wb": (1.3669, 3.8224), "nb": (1.4945, 4.6607)}


def _mean_opinion_score(raw: float, mode: str) -> float:
    slope, shift = _SLOPE_AND_SHIFT[mode]
    return 0.999 + 4.0 / (1.0 + math.exp(-slope * raw + shift))


def _paper_map(raw: Any) -> Any:
    """MetricGAN's map for PESQ (Fu et al. 2019); clean against clean, 4.64, gives 1.03 in wb."""
    return (raw + 0.5) / 5.0


def _measure(mode: str) -> Measure:
    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        if sample_rate not in _RATES[mode]:
            rates = " or ".join(str(rate) for rate in _RATES[mode])
            raise ValueError(f"pesq_{mode} takes {rates} Hz, not {sample_rate}")
        if len(reference) < _SHORTEST_SECONDS * sample_rate:
            raise Unscorable(f"shorter than {_SHORTEST_SECONDS} s")
        try:
            return float(pesq_package.pesq(sample_rate, reference, estimate, mode))
        except pesq_package.PesqError as error:
            raise Unscorable(str(error)) from error
        except ValueError as error:
            # With the rate checked, this is the package's "cannot convert float NaN to integer":
            # an estimate too faint beside its reference for the C code's level alignment.
            raise Unscorable(f"no level to align ({error})") from error

    return measure


def _score(mode: str) -> Score:
    return Score(
        name=f"pesq_{mode}",
        lowest=_mean_opinion_score(-0.5, mode),
        highest=_mean_opinion_score(4.5, mode),
        higher_is_better=True,
        measure=remembering(_measure(mode)),
        own_map=_paper_map,
    )


pesq_wb = _score("wb")
"""Wide-band MOS-LQO (P.862.2), 16 kHz: 1.04 (worst) to 4.64 (identical)."""

pesq_nb = _score("nb")
"""Narrow-band MOS-LQO (P.862.1), 8 or 16 kHz: 1.02 (worst) to 4.55 (identical)."""
