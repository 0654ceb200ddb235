"""The delays that the package `pesq` has found between the sides of a pair.

The package aligns the sides before it compares them and does not tell what it found. Its library
hands the result from one of its exported functions to the next, so a few lines of C, loaded before
it (LD_PRELOAD), can note it on the way. Where those numbers lie was found by watching memory on
pairs of known delay. Wants Linux and a C compiler (`cc`, or $CC).
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

# The third argument points to the numbers; the function itself is looked up in the real library.
WATCHER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
static void *library;
static long noted[256];
void watch(const char *path) { library = dlopen(path, RTLD_NOW | RTLD_NOLOAD); }
long *take(void) { return noted; }
void pesq_psychoacoustic_model(void *a, void *b, void *found, void *d, void *e, void *f)
{
    memcpy(noted, found, sizeof noted);
    ((void (*)(void *, void *, void *, void *, void *, void *))
        dlsym(library, "pesq_psychoacoustic_model"))(a, b, found, d, e, f);
}
"""
UTTERANCES = 0
"""Where the number of utterances stands."""
DELAYS = 155
"""Where the delays of the utterances begin, in samples."""


def largest(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], mode: str, rate: int
) -> list[int | None]:
    """The largest magnitude of a pair's delays in samples; None where the package has no score.

    pairs: floating [n] with full scale 1; mode: "wb" or "nb"; rate: Hz.
    Raises OSError without a compiler, subprocess.CalledProcessError where it or the package fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, library, sides = (Path(folder, name) for name in ("w.c", "w.so", "pairs.npz"))
        source.write_text(WATCHER)
        compiler = os.environ.get("CC", "cc")
        flags = ("-O1", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, "-o", library, source, "-ldl"], check=True)
        np.savez(sides, *(side for pair in pairs for side in pair))
        command = [sys.executable, __file__, str(library), str(sides), mode, str(rate)]
        environment = os.environ | {"LD_PRELOAD": str(library)}
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        found: list[int | None] = json.loads(child.stdout)
        return found


def watched(library: str, sides: str, mode: str, rate: int) -> Iterator[int | None]:
    """The same, in the process that the watcher was loaded into."""
    import pesq
    import pesq.cypesq

    watcher = ctypes.CDLL(library)
    watcher.take.restype = ctypes.POINTER(ctypes.c_long * 256)
    watcher.watch(pesq.cypesq.__file__.encode())
    noted = watcher.take().contents
    with np.load(sides) as arrays:
        for number in range(0, len(arrays.files), 2):
            noted[UTTERANCES] = 0
            pair = (arrays[f"arr_{number + side}"] for side in range(2))
            pesq.pesq(rate, *pair, mode, on_error=pesq.PesqError.RETURN_VALUES)
            delays = noted[DELAYS : DELAYS + noted[UTTERANCES]]
            yield max(map(abs, delays)) if delays else None


if __name__ == "__main__":
    LIBRARY, SIDES, MODE, RATE = sys.argv[1:]
    print(json.dumps(list(watched(LIBRARY, SIDES, MODE, int(RATE)))))
