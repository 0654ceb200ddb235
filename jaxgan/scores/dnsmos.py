"""DNSMOS, listeners' opinions predicted by Microsoft's networks from the estimate alone.

P.835: Reddy, Gopal and Cutler, "DNSMOS P.835" (2022); P.808: "DNSMOS" (2021); both by the package
`speechmos`, which the extra `dnsmos` installs. Clips of less than 9.01 s are repeated up to that
length, of longer ones all stretches of 9.01 s that begin at whole seconds count alike.
"""

import functools

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.scores.score import Measure, Score

try:
    from speechmos import dnsmos
except ImportError as error:
    raise UserError(f"DNSMOS needs further packages ({error}): pip install '.[dnsmos]'") from error

SAMPLE_RATE = 16000
LOWEST, HIGHEST = 1.0, 5.0


@functools.lru_cache(maxsize=1)
def _opinions(samples: bytes) -> dict[str, float]:
    """All four opinions of float64 samples: one run of the networks for four scores."""
    opinions: dict[str, float] = dnsmos.run(np.frombuffer(samples), SAMPLE_RATE)
    return opinions


def _measure(key: str) -> Measure:
    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        del reference
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"DNSMOS takes {SAMPLE_RATE} Hz, not {sample_rate}")
        # The package refuses what lies beyond full scale.
        return float(_opinions(np.clip(estimate, -1.0, 1.0).tobytes())[key])

    return measure


def _score(name: str, key: str) -> Score:
    return Score(name, LOWEST, HIGHEST, higher_is_better=True, measure=_measure(key))


dnsmos_sig = _score("dnsmos_sig", "sig_mos")
"""P.835, of the speech, about 1 to 5; the reference takes no part."""
dnsmos_bak = _score("dnsmos_bak", "bak_mos")
"""P.835, of the background."""
dnsmos_ovr = _score("dnsmos_ovr", "ovrl_mos")
"""P.835, of the whole."""
dnsmos_p808 = _score("dnsmos_p808", "p808_mos")
"""P.808, of the whole."""
