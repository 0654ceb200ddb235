"""Scores as JAX functions: batched, on the device, differentiable where the score is."""

from jaxgan.scores.device.pesq import pesq_nb, pesq_wb

__all__ = ["pesq_nb", "pesq_wb"]
