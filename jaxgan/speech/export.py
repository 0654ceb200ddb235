"""Exports a trained enhancer as one file that only needs jax and flatbuffers.

    python -m jaxgan.export --workdir=W --output=FILE

The file contains the network and its parameters as portable StableHLO (`jax.export`), for any
number of waveforms of any length, on CPU, CUDA and TPU. Reading it needs the packages jax and
flatbuffers, but not this one:

    from jax import export
    model = export.deserialize(open(FILE, "rb").read())
    enhanced = model.call(noisy, lengths)
"""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from jaxgan.core.state import PyTree
from jaxgan.speech.networks.denoiser import Denoiser

PLATFORMS = ("cpu", "cuda", "tpu")


def serialise(denoiser: Denoiser, params: PyTree) -> bytes:
    """Returns an enhancer as a serialised function that `jax.export.deserialize` reads.

    The function takes noisy waveforms, float32 [B, n] at 16000 Hz with full scale 1, and their
    lengths, int32 [B]. It returns the enhanced waveforms, float32 [B, n]. Samples after the end of
    a waveform are ignored, and zero in the result.

    Args:
        denoiser: the enhancer without its parameters.
        params: the generator's parameters.
    """
    hop = denoiser.front_end.hop
    constants = jax.device_get(params)

    def enhance(noisy: jax.Array, lengths: jax.Array) -> jax.Array:
        rows, samples = noisy.shape
        inside = jnp.arange(samples) < lengths[:, None]
        whole = jnp.zeros((rows, (samples + hop - 1) // hop * hop), jnp.float32)
        padded = jax.lax.dynamic_update_slice(whole, jnp.where(inside, noisy, 0), (0, 0))
        return denoiser.enhance(constants, padded, lengths)[:, :samples]

    rows, samples = jax_export.symbolic_shape("rows, samples")
    exported = jax_export.export(jax.jit(enhance), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct((rows, samples), jnp.float32),
        jax.ShapeDtypeStruct((rows,), jnp.int32),
    )
    return bytes(exported.serialize())


def load(path: str | os.PathLike[str]) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an exported enhancer.

    Returns:
        A function that enhances one waveform, float32 [n] at 16000 Hz with full scale 1.
    """
    model = jax_export.deserialize(bytearray(Path(path).read_bytes()))

    def enhance(noisy: np.ndarray) -> np.ndarray:
        return np.asarray(model.call(noisy[None], np.array([len(noisy)], np.int32))[0])

    return enhance
