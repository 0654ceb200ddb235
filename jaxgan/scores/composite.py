"""CSIG, CBAK and COVL: listeners' opinions predicted from PESQ, LLR, WSS and segmental SNR.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with
wide-band PESQ, as papers on VoiceBank-DEMAND print them.
"""

from typing import Any

import numpy as np

from jaxgan.scores.pesq import pesq_wb
from jaxgan.scores.score import Measure, Score
from jaxgan.scores.segmental import llr, ssnr, wss

LOWEST, HIGHEST = 1.0, 5.0

# Constant, and the factors of what each opinion is made of.
OPINIONS = {
    "csig": (3.093, {"pesq_wb": 0.603, "llr": -1.029, "wss": -0.009}),
    "cbak": (1.634, {"pesq_wb": 0.478, "wss": -0.007, "ssnr": 0.063}),
    "covl": (1.594, {"pesq_wb": 0.805, "llr": -0.512, "wss": -0.007}),
}
_PARTS = {score.name: score for score in (pesq_wb, llr, wss, ssnr)}


def _measure(opinion: str) -> Measure:
    constant, factors = OPINIONS[opinion]

    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        parts = (
            factor * _PARTS[part].measure(reference, estimate, sample_rate)
            for part, factor in factors.items()
        )
        return min(max(constant + sum(parts), LOWEST), HIGHEST)

    return measure


def _paper_map(raw: Any) -> Any:
    """The map of MetricGAN's successors for opinions on a scale of 1 to 5."""
    return (raw - LOWEST) / (HIGHEST - LOWEST)


def _score(opinion: str) -> Score:
    measure = _measure(opinion)
    return Score(opinion, LOWEST, HIGHEST, True, measure=measure, own_map=_paper_map)


csig = _score("csig")
"""Of the speech's own distortion, 1 to 5."""
cbak = _score("cbak")
"""Of the background, 1 to 5."""
covl = _score("covl")
"""Of the whole, 1 to 5."""
