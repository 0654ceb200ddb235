"""PESQ, the perceptual evaluation of speech quality, from the package `pesq` (ITU-T P.862 C code).

The C code stores up to 50 utterances (stretches of speech between pauses) in fixed arrays without
checking their bounds: a recording of several minutes can corrupt its memory and kill the process.
ScorePool survives that; a direct call does not.
"""

import math
from typing import Any

import numpy as np
import pesq as pesq_package

from jaxgan.scores.score import Measure, Score, Unscorable, cache_last

_RATES = {"wb": (16000,), "nb": (8000, 16000)}
_SHORTEST_SECONDS = 0.25
# Map from the raw P.862 score in [-0.5, 4.5] to MOS-LQO (P.862.1 for nb, P.862.2 for wb).
_SLOPE_AND_SHIFT = {"wb": (1.3669, 3.8224), "nb": (1.4945, 4.6607)}


def _mean_opinion_score(raw: float, mode: str) -> float:
    slope, shift = _SLOPE_AND_SHIFT[mode]
    return 0.999 + 4.0 / (1.0 + math.exp(-slope * raw + shift))


def _paper_map(raw: Any) -> Any:
    """MetricGAN's map for PESQ (Fu et al. 2019); identical signals map to 1.03 (wide band)."""
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
            # The rate is valid, so this is the package's "cannot convert float NaN to integer": one
            # signal is too faint for the C code's level alignment.
            raise Unscorable(f"too faint for the level alignment ({error})") from error

    return measure


def _score(mode: str) -> Score:
    return Score(
        name=f"pesq_{mode}",
        lowest=_mean_opinion_score(-0.5, mode),
        highest=_mean_opinion_score(4.5, mode),
        higher_is_better=True,
        measure=cache_last(_measure(mode)),
        own_map=_paper_map,
    )


pesq_wb = _score("wb")
"""Wide-band PESQ as MOS-LQO (P.862.2), 16 kHz: 1.04 (worst) to 4.64 (identical signals).

Distortion beyond the scale of P.862, whose raw scores end at -0.5, gives values down to 1.01."""

pesq_nb = _score("nb")
"""Narrow-band PESQ as MOS-LQO (P.862.1), 8 or 16 kHz: 1.02 (worst) to 4.55 (identical signals).

Distortion beyond the scale of P.862 gives values down to 1.00."""
