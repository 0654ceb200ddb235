"""CSIG, CBAK and COVL in JAX: mean opinion scores predicted from PESQ, LLR, WSS and segmental SNR.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with
wide-band PESQ, as reported in papers on VoiceBank-DEMAND.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.scores.composite import HIGHEST, LOWEST, REGRESSIONS
from jaxgan.scores.device.batches import BatchScore
from jaxgan.scores.device.pesq import pesq_wb
from jaxgan.scores.device.segmental import llr, ssnr, wss


class Composite(NamedTuple):
    """The three predicted opinions and the scores they are computed from, each [B].

    Attributes:
        csig: opinion of the distortion of the speech, 1 to 5.
        cbak: opinion of the intrusiveness of the background, 1 to 5.
        covl: opinion of the overall quality, 1 to 5.
        pesq_wb: wide-band PESQ, 1.04 to 4.64.
        ssnr: segmental SNR, -10 to 35 dB.
        llr: log-likelihood ratio, 0 or more, lower is better.
        wss: weighted spectral slope distance, 0 or more, lower is better.
    """

    csig: jax.Array
    cbak: jax.Array
    covl: jax.Array
    pesq_wb: jax.Array
    ssnr: jax.Array
    llr: jax.Array
    wss: jax.Array


@functools.partial(jax.jit, static_argnames=("sample_rate", "group"))
def composite(
    reference: jax.Array,
    estimate: jax.Array,
    lengths: jax.Array,
    sample_rate: int = 16000,
    *,
    group: int | None = None,
) -> Composite:
    """Returns CSIG, CBAK, COVL and the four scores that they are computed from.

    Args:
        reference: clean speech at 16 kHz, floating [B, T] with full scale 1, or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, in the same formats.
        lengths: integers [B], samples; samples past them are not read.
        sample_rate: sample rate in Hz, which must be 16000.
        group: pairs to process at a time; None for 4 on a CPU and the whole batch elsewhere.

    Returns:
        Seven arrays [B], float32, or float64 if both signals are float64. The opinions are NaN
        where one of the four scores is.

    Raises:
        UserError: the sample rate is not 16000 Hz.
        ValueError: the shapes do not fit.
    """
    arguments = reference, estimate, lengths, sample_rate
    quality = pesq_wb(*arguments, group=group)
    snr, ratio, slope = (score(*arguments, group=group) for score in (ssnr, llr, wss))
    parts = {"pesq_wb": quality, "ssnr": snr, "llr": ratio, "wss": slope}
    opinions = {
        name: jnp.clip(
            constant + sum(weight * parts[part] for part, weight in coefficients.items()),
            LOWEST,
            HIGHEST,
        )
        for name, (constant, coefficients) in REGRESSIONS.items()
    }
    return Composite(**opinions, **parts)


def _opinion(name: str, subject: str) -> BatchScore:
    """Returns the score of a single opinion; the compiler removes what only the others need."""

    def opinion(
        reference: jax.Array,
        estimate: jax.Array,
        lengths: jax.Array,
        sample_rate: int = 16000,
        *,
        group: int | None = None,
    ) -> jax.Array:
        opinions = composite(reference, estimate, lengths, sample_rate, group=group)
        value: jax.Array = getattr(opinions, name)
        return value

    opinion.__name__ = opinion.__qualname__ = name
    opinion.__doc__ = f"Returns the predicted opinion of {subject}, 1 to 5 [B]; see `composite`."
    return opinion


csig = _opinion("csig", "the distortion of the speech")
cbak = _opinion("cbak", "the intrusiveness of the background")
covl = _opinion("covl", "the overall quality")
