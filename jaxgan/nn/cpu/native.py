"""Loads C++ functions that XLA calls on a CPU, compiled for this machine's own processor."""

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib

from jaxgan.core import cache

log = logging.getLogger(__name__)

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")
TIMEOUT_SECONDS = 300.0
"""Time limit for the compiler, which normally takes a few seconds."""


@functools.cache
def register(source: Path, functions: tuple[str, ...]) -> bool:
    """Registers the functions of a C++ file with XLA under their own names.

    The first call compiles the file and stores the library in the user's cache folder. If the
    library cannot be built or loaded, this logs one warning with the reason.

    Args:
        source: a file that exports the functions with XLA_FFI_DEFINE_HANDLER_SYMBOL.
        functions: their names.

    Returns:
        Whether `jax.ffi.ffi_call` can call them.
    """
    try:
        # A loaded library no longer needs its file.
        with tempfile.TemporaryDirectory(prefix="jaxgan-") as folder:
            loaded = ctypes.CDLL(str(library(source, Path(folder))))
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or "").strip() or str(error)
        _warn(reason.splitlines()[0])
        return False
    for name in functions:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    return True


@functools.cache
def _warn(reason: str) -> None:
    log.warning(
        "Training on this CPU takes several times longer because the convolutions in C++ are not "
        "available: %s",
        reason,
    )


def call(
    function: str,
    shapes: Sequence[tuple[int, ...]],
    batched: tuple[jax.Array, ...],
    shared: tuple[jax.Array, ...],
    **attributes: Any,
) -> Sequence[jax.Array]:
    """Calls a registered function and returns its results, float32 [B, *shape] each.

    Args:
        function: its name.
        shapes: the shapes of the results, without the batch.
        batched: the first arguments, [B, ...] each.
        shared: the other arguments.
        attributes: passed on as the call's attributes.
    """
    batch = len(batched[0])
    results = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]
    ffi_call = jax.ffi.ffi_call(function, results, vmap_method="sequential")
    return ffi_call(*batched, *shared, **attributes)


def library(source: Path, folder: Path) -> Path:
    """Returns the path of the compiled file, from the user's cache folder if it is there.

    Otherwise compiles it into `folder` and copies it to the cache; a cache folder that cannot be
    written costs only the copy.

    Raises:
        OSError: there is no compiler, or `folder` cannot be written.
        subprocess.SubprocessError: the compiler fails or exceeds its time limit.
    """
    texts = [file.read_text() for file in (source, *sorted(source.parent.glob("*.h")))]
    parts = (*texts, jaxlib.__version__, *FLAGS)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    entry = cache.folder() / "native" / cache.machine() / digest
    name = source.with_suffix(".so").name
    if (entry / name).is_file():
        return entry / name
    built = folder / name
    _compile(source, built)

    def copy(place: Path) -> None:
        shutil.copyfile(built, place / name)

    cache.put(entry, copy)
    return built


def _compile(source: Path, library: Path) -> None:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        names = ", ".join(COMPILERS)
        raise FileNotFoundError(
            f"found no C++ compiler ({names}); install one, or name one in the variable CXX"
        )
    include = f"-I{jax.ffi.include_dir()}"
    command = [*compiler.split(), *FLAGS, include, str(source), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
