"""Finds out which delays the package `pesq` estimates between the two signals of a pair.

The package aligns the signals before it compares them and does not report the delays. Its library
passes them from one exported function to the next, so a few lines of C, loaded before it with
LD_PRELOAD, can record them. Their places in memory were found by observing it on pairs with known
delays. Requires Linux and a C compiler (`cc`, or $CC).
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

# The third argument points to the delays; the original function is looked up in the real library.
RECORDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
static void *library;
static long recorded[256];
void set_library(const char *path) { library = dlopen(path, RTLD_NOW | RTLD_NOLOAD); }
long *get_recorded(void) { return recorded; }
void pesq_psychoacoustic_model(void *a, void *b, void *delays, void *d, void *e, void *f)
{
    memcpy(recorded, delays, sizeof recorded);
    ((void (*)(void *, void *, void *, void *, void *, void *))
        dlsym(library, "pesq_psychoacoustic_model"))(a, b, delays, d, e, f);
}
"""
UTTERANCES = 0
"""Index of the number of utterances."""
DELAYS = 155
"""Index of the first utterance's delay in samples; the others follow."""


def largest_delays(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], mode: str, rate: int
) -> list[int | None]:
    """Returns the largest absolute delay of each pair in samples; None if the pair has no score.

    Args:
        pairs: (reference, estimate), floating [n] with full scale 1.
        mode: "wb" or "nb".
        rate: sample rate in Hz.

    Raises:
        OSError: there is no C compiler.
        subprocess.CalledProcessError: the compiler or the package fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = ("recorder.c", "recorder.so", "signals.npz")
        source, library, signals = (Path(folder, name) for name in names)
        source.write_text(RECORDER)
        compiler = os.environ.get("CC", "cc")
        flags = ("-O1", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, "-o", library, source, "-ldl"], check=True)
        np.savez(signals, *(signal for pair in pairs for signal in pair))
        command = [sys.executable, __file__, str(library), str(signals), mode, str(rate)]
        environment = os.environ | {"LD_PRELOAD": str(library)}
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        delays: list[int | None] = json.loads(child.stdout)
        return delays


def record(library: str, signals: str, mode: str, rate: int) -> Iterator[int | None]:
    """Yields what `largest_delays` returns; runs in the process with the preloaded recorder."""
    import pesq
    import pesq.cypesq

    recorder = ctypes.CDLL(library)
    recorder.get_recorded.restype = ctypes.POINTER(ctypes.c_long * 256)
    recorder.set_library(pesq.cypesq.__file__.encode())
    recorded = recorder.get_recorded().contents
    with np.load(signals) as arrays:
        for number in range(0, len(arrays.files), 2):
            recorded[UTTERANCES] = 0
            pair = (arrays[f"arr_{number + i}"] for i in range(2))
            pesq.pesq(rate, *pair, mode, on_error=pesq.PesqError.RETURN_VALUES)
            delays = recorded[DELAYS : DELAYS + recorded[UTTERANCES]]
            yield max(map(abs, delays)) if delays else None


if __name__ == "__main__":
    LIBRARY, SIGNALS, MODE, RATE = sys.argv[1:]
    print(json.dumps(list(record(LIBRARY, SIGNALS, MODE, int(RATE)))))
