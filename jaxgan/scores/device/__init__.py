"""Scores as JAX functions: batched, on the device, differentiable where the score is.

Every score is `score(reference [B, T], estimate [B, T], lengths [B], sample_rate=16000) -> [B]`:
any lengths in one padded batch, NaN for an item that has no score.
"""

from jaxgan.scores.device.composite import cbak, composite, covl, csig
from jaxgan.scores.device.pesq import pesq_nb, pesq_wb
from jaxgan.scores.device.segmental import llr, ssnr, wss
from jaxgan.scores.device.si_sdr import si_sdr
from jaxgan.scores.device.stoi import estoi, stoi

__all__ = [
    "cbak",
    "composite",
    "covl",
    "csig",
    "estoi",
    "llr",
    "pesq_nb",
    "pesq_wb",
    "si_sdr",
    "ssnr",
    "stoi",
    "wss",
]
