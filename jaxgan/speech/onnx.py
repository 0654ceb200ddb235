"""Converts a trained mask network to ONNX, by the package jax2onnx.

jax2onnx requires an older orbax than training does, so this file imports none of the code that
reads checkpoints, and runs in an environment of its own on a file of `speech.parameters`.
"""

import importlib
import logging
import os
from pathlib import Path

import jax
import jax.extend.core
import jax.numpy as jnp
from jax import export as jax_export

from jaxgan.core import files
from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.speech.networks.denoiser import Denoiser

INPUT, OUTPUT = "noisy", "enhanced"
"""The names of the model's input and output, float32 [frames, window] each."""
MISSING = (
    "--format=onnx needs the package jax2onnx, which cannot share an environment with jaxgan's "
    "orbax: write --format=parameters here, and convert that file in a separate environment "
    "(docs/export.md has the commands)"
)


def convert(denoiser: Denoiser, params: PyTree, path: str | os.PathLike[str]) -> None:
    """Writes an enhancer as an ONNX model that maps frames of one utterance to enhanced frames.

    The number of frames is free. See `masking.enhance_frames` for what the frames are; the Fourier
    transforms are part of the model.

    Args:
        denoiser: an enhancer that works on frames.
        params: the generator's parameters.
        path: the path of the file.

    Raises:
        UserError: jax2onnx is not installed or fails, or the network does not work on frames.
    """
    enhance_frames = denoiser.enhance_frames
    if enhance_frames is None:
        raise UserError("--format=onnx: only mask networks can be converted")
    try:
        jax2onnx = importlib.import_module("jax2onnx")
    except ModuleNotFoundError as error:
        raise UserError(MISSING) from error
    constants = jax.device_get(params)
    (count,) = jax_export.symbolic_shape("frames")
    frames = jax.ShapeDtypeStruct((count, denoiser.front_end.window), jnp.float32)
    # While jax2onnx traces, it replaces functions of jax.numpy by its own, of which arange makes
    # no arrays of symbolic length. So the function is traced before.
    traced = jax.make_jaxpr(lambda noisy: enhance_frames(constants, noisy))(frames)

    def enhance(noisy: jax.Array) -> jax.Array:
        enhanced: jax.Array = jax.extend.core.jaxpr_as_fun(traced)(noisy)[0]
        return enhanced

    # It warns of each value in the model whose type ONNX infers.
    logging.getLogger("onnx_ir.serde").setLevel(logging.ERROR)
    try:
        model = jax2onnx.to_onnx(enhance, [frames], input_names=[INPUT], output_names=[OUTPUT])
    except Exception as error:  # it relies on jax's internals
        raise UserError(
            f"--format=onnx: jax2onnx fails with jax {jax.__version__} "
            f"({files.reason(error)}): install 'jax<0.12' with it"
        ) from error
    Path(path).write_bytes(model.SerializeToString())
