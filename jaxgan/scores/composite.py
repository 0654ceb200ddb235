"""CSIG, CBAK and COVL: mean opinion scores predicted from PESQ, LLR, WSS and segmental SNR.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with
wide-band PESQ, as reported in papers on VoiceBank-DEMAND.
"""

from typing import Any

import numpy as np

from jaxgan.scores.pesq import pesq_wb
from jaxgan.scores.score import Measure, Score
from jaxgan.scores.segmental import llr, ssnr, wss

LOWEST, HIGHEST = 1.0, 5.0

# For each opinion the constant and the coefficients of the linear regression.
REGRESSIONS = {
    "csig": (3.093, {"pesq_wb": 0.603, "llr": -1.029, "wss": -0.009}),
    "cbak": (1.634, {"pesq_wb": 0.478, "wss": -0.007, "ssnr": 0.063}),
    "covl": (1.594, {"pesq_wb": 0.805, "llr": -0.512, "wss": -0.007}),
}
_PARTS = {score.name: score for score in (pesq_wb, llr, wss, ssnr)}


def _measure(opinion: str) -> Measure:
    constant, coefficients = REGRESSIONS[opinion]

    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        parts = (
            coefficient * _PARTS[part].measure(reference, estimate, sample_rate)
            for part, coefficient in coefficients.items()
        )
        return min(max(constant + sum(parts), LOWEST), HIGHEST)

    return measure


def _paper_map(raw: Any) -> Any:
    """The map from the scale of 1 to 5 to [0, 1] that the successors of MetricGAN use."""
    return (raw - LOWEST) / (HIGHEST - LOWEST)


def _score(opinion: str) -> Score:
    measure = _measure(opinion)
    return Score(opinion, LOWEST, HIGHEST, True, measure=measure, own_map=_paper_map)


csig = _score("csig")
"""Predicted opinion of the distortion of the speech, 1 to 5, higher is better; 16 kHz."""
cbak = _score("cbak")
"""Predicted opinion of the intrusiveness of the background, 1 to 5, higher is better; 16 kHz."""
covl = _score("covl")
"""Predicted opinion of the overall quality, 1 to 5, higher is better; 16 kHz."""
