"""DNSMOS: mean opinion scores that Microsoft's networks predict from the estimate only.

P.835: Reddy, Gopal and Cutler, "DNSMOS P.835" (2022); P.808: Reddy, Gopal and Cutler, "DNSMOS"
(2021). Both come from the package `speechmos`, which the extra `dnsmos` installs. A clip shorter
than 9.01 s is repeated up to that length; the score of a longer clip is the mean over all windows
of 9.01 s that start at whole seconds.
"""

import functools

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.scores.score import Measure, Score

try:
    from speechmos import dnsmos
except ImportError as error:
    raise UserError(
        f"DNSMOS needs additional packages ({error}): pip install 'jaxgan[dnsmos]'"
    ) from error

SAMPLE_RATE = 16000
LOWEST, HIGHEST = 1.0, 5.0


@functools.lru_cache(maxsize=1)
def _opinions(samples: bytes) -> dict[str, float]:
    """Returns all four scores of the bytes of float64 samples, from one run of the networks."""
    opinions: dict[str, float] = dnsmos.run(np.frombuffer(samples), SAMPLE_RATE)
    return opinions


def _measure(key: str) -> Measure:
    def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        del reference
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"DNSMOS takes {SAMPLE_RATE} Hz, not {sample_rate}")
        # The package raises for samples beyond full scale.
        return float(_opinions(np.clip(estimate, -1.0, 1.0).tobytes())[key])

    return measure


@functools.cache
def _load_networks() -> None:
    """Loads the networks, which the package does in its first call."""
    dnsmos.run(np.zeros(SAMPLE_RATE), SAMPLE_RATE)


def _score(name: str, key: str) -> Score:
    return Score(
        name, LOWEST, HIGHEST, higher_is_better=True, measure=_measure(key), prepare=_load_networks
    )


dnsmos_sig = _score("dnsmos_sig", "sig_mos")
"""P.835 opinion of the speech signal, about 1 to 5, higher is better; ignores the reference."""
dnsmos_bak = _score("dnsmos_bak", "bak_mos")
"""P.835 opinion of the background, about 1 to 5, higher is better; ignores the reference."""
dnsmos_ovr = _score("dnsmos_ovr", "ovrl_mos")
"""P.835 overall opinion, about 1 to 5, higher is better; ignores the reference."""
dnsmos_p808 = _score("dnsmos_p808", "p808_mos")
"""P.808 overall opinion, about 1 to 5, higher is better; ignores the reference."""
