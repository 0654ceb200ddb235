"""Scores as JAX functions: batched, compiled for any device, and differentiable.

Every score has the form `score(reference [B, T], estimate [B, T], lengths [B], sample_rate=16000)
-> [B]`. A padded batch may mix any lengths; a pair without a score is NaN.
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
