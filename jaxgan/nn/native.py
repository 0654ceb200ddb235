"""Functions in C++ that XLA calls on a CPU, compiled for this processor where they are needed."""

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
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
PATIENCE_SECONDS = 300.0  # with a compiler, which takes seconds


@functools.cache
def register(source: Path, functions: tuple[str, ...]) -> bool:
    """Makes functions of a C++ file known to XLA, under their own names.

    Without a compiler, or where the file does not compile, a warning says so, once.

    Args:
        source: the file; it exports the functions by XLA_FFI_DEFINE_HANDLER_SYMBOL.
        functions: their names.

    Returns:
        Whether they can be called, by `jax.ffi.ffi_call`.
    """
    try:
        loaded = ctypes.CDLL(str(library(source)))
    except (OSError, subprocess.SubprocessError) as error:
        told = (getattr(error, "stderr", "") or "").strip() or str(error)
        _warn(told.splitlines()[0])
        return False
    for name in functions:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    return True


@functools.cache
def _warn(reason: str) -> None:
    log.warning(
        "Training on this CPU takes up to three times longer, for parts in C++ cannot be compiled "
        "(a compiler is needed, such as g++; the variable CXX names it): %s",
        reason,
    )


def call(
    function: str,
    shapes: Sequence[tuple[int, ...]],
    of_rows: tuple[jax.Array, ...],
    shared: tuple[jax.Array, ...],
    **attributes: Any,
) -> Sequence[jax.Array]:
    """A registered function of arrays [B, ...] and of others: float32 results [B, *shape]."""
    batch = len(of_rows[0])
    results = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]
    ffi_call = jax.ffi.ffi_call(function, results, vmap_method="sequential")
    return ffi_call(*of_rows, *shared, **attributes)


def library(source: Path) -> Path:
    """The compiled file, in the user's cache folder.

    Raises:
        OSError: no compiler, or no place for the file.
        subprocess.SubprocessError: the compiler fails or hangs.
    """
    texts = [file.read_text() for file in (source, *sorted(source.parent.glob("*.h")))]
    parts = (*texts, jaxlib.__version__, *FLAGS)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    entry = cache.folder() / "native" / cache.machine() / digest
    name = source.with_suffix(".so").name
    if not (entry / name).is_file():
        cache.put(entry, lambda place: _compile(source, place / name))
    return entry / name


def _compile(source: Path, library: Path) -> None:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise OSError("none of " + ", ".join(COMPILERS) + " is there")
    include = f"-I{jax.ffi.include_dir()}"
    command = [*compiler.split(), *FLAGS, include, str(source), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
