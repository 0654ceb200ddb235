"""CSIG, CBAK and COVL on the accelerator: listeners' opinions predicted from four other scores.

Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement" (2008), with
wide-band PESQ, as papers on VoiceBank-DEMAND print them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.scores.composite import HIGHEST, LOWEST, OPINIONS
from jaxgan.scores.device.batches import BatchScore
from jaxgan.scores.device.pesq import pesq_wb
from jaxgan.scores.device.segmental import llr, ssnr, wss


class Composite(NamedTuple):
    """The three opinions and what they are made of, each [B].

    Attributes:
        csig: of the speech's own distortion, 1 to 5.
        cbak: of the background, 1 to 5.
        covl: of the whole, 1 to 5.
        pesq_wb: 1.04 to 4.64.
        ssnr: -10 to 35 dB.
        llr: 0 and more, lower is better.
        wss: 0 and more, lower is better.
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
    """All of CSIG, CBAK, COVL and their parts.

    Args:
        reference: clean speech at 16 kHz, floating [B, T] with full scale 1, or int16 [B, T].
        estimate: degraded or enhanced speech, aligned with the reference, likewise.
        lengths: integers [B], samples; what lies past them is not read.
        sample_rate: 16000 Hz.
        group: pairs worked on at a time; None for 4 on a CPU and all of them elsewhere.

    Returns:
        seven arrays [B]; NaN where PESQ has no score.

    Raises:
        UserError: another sample rate.
    """
    arguments = reference, estimate, lengths, sample_rate
    quality = pesq_wb(*arguments, group=group)
    snr, ratio, slope = (score(*arguments, group=group) for score in (ssnr, llr, wss))
    parts = {"pesq_wb": quality, "ssnr": snr, "llr": ratio, "wss": slope}
    opinions = {
        name: jnp.clip(
            constant + sum(factor * parts[part] for part, factor in factors.items()),
            LOWEST,
            HIGHEST,
        )
        for name, (constant, factors) in OPINIONS.items()
    }
    return Composite(**opinions, **parts)


def _opinion(name: str, what: str) -> BatchScore:
    """One of the opinions alone; a compiler leaves out what the others need beside it."""

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
    opinion.__doc__ = f"Predicted opinion of {what}, 1 to 5 [B]; see `composite`."
    return opinion


csig = _opinion("csig", "the speech's own distortion")
cbak = _opinion("cbak", "the background")
covl = _opinion("covl", "the whole")
