"""Profiler traces, for TensorBoard."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from etils import epath

FOLDER = "profile"


@contextlib.contextmanager
def trace(workdir: epath.Path) -> Iterator[None]:
    """Writes a profiler trace of the block to WORKDIR/profile.

    The profiler writes only to local folders, so the trace is copied from a temporary one.
    """
    with tempfile.TemporaryDirectory() as local:
        with jax.profiler.trace(local):
            yield
        for path in Path(local).rglob("*"):
            if path.is_file():
                copy = workdir / FOLDER / path.relative_to(local)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
