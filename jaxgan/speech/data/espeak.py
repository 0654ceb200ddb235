"""Synthesises speech with eSpeak NG, using the shared library of the `espeakng-loader` wheel.

The C library keeps global state (earlier sentences change the noise in a voice), writes to the
terminal and exits the process on errors. Every call of `synthesise` therefore runs this module as a
script in a new process.
"""

import ctypes
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from jaxgan.core.errors import UserError

SYNCHRONOUS = 2
DONT_EXIT = 0x8000
RATE, PITCH, RANGE = 1, 3, 4
CHARACTERS, UTF8 = 1, 1
"""Constants of eSpeak NG's speak_lib.h."""
TIME_LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Line:
    """A sentence and how to speak it.

    Attributes:
        text: the sentence.
        language: an eSpeak NG language, e.g. "en-us".
        variant: an eSpeak NG voice variant, e.g. "f3".
        rate: words per minute, 80 to 450.
        pitch: 0 to 99; 50 is the variant's default.
        pitch_range: 0 (monotone) to 99; 50 is the variant's default.
    """

    text: str
    language: str
    variant: str
    rate: int
    pitch: int
    pitch_range: int


def version() -> str:
    """Returns the version of the wheel that contains the synthesiser.

    Raises:
        UserError: the wheel is not installed.
    """
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "config.data.kind='demo' needs the package espeakng-loader, which is not installed: "
            "install it, or choose another config.data.kind"
        ) from error


def synthesise(lines: Sequence[Line]) -> tuple[list[np.ndarray], int]:
    """Speaks sentences. Equal lists give equal samples.

    Returns:
        A pair: one int16 [n] array per line, and their sample rate in Hz.

    Raises:
        UserError: the synthesiser fails on this machine.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        script, spoken = Path(folder, "lines.json"), Path(folder, "spoken.npz")
        script.write_text(json.dumps([asdict(line) for line in lines]))
        done = subprocess.run(
            [sys.executable, "-m", "jaxgan.speech.data.espeak", str(script), str(spoken)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise UserError(
                f"eSpeak NG, which config.data.kind='demo' needs, does not run here ({reason}): "
                "choose another config.data.kind"
            )
        with np.load(spoken) as file:
            samples, ends, rate = file["samples"], file["ends"], int(file["rate"])
    return np.split(samples, ends[:-1]), rate


def _main(script: str, spoken: str) -> None:
    # Only this process needs the wheel, so training on other data works without it.
    import espeakng_loader

    lines = [Line(**fields) for fields in json.loads(Path(script).read_text())]
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT)
    if rate <= 0:
        raise SystemExit("espeak_Initialize failed")
    pieces: list[np.ndarray] = []
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def receive(samples: object, count: int, _: object) -> int:
        if count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = signature(receive)
    library.espeak_SetSynthCallback(callback)
    waves = []
    for number, line in enumerate(lines):
        pieces.clear()
        # Breathiness and roughness use two random number generators: eSpeak NG's own, which is
        # seeded with the time by default, and the C library's.
        library.espeak_ng_SetRandSeed(ctypes.c_long(number + 1))
        ctypes.CDLL(None).srand(number + 1)
        _speak(library, line)
        waves.append(np.concatenate([np.zeros(0, np.int16), *pieces]))
    ends = np.cumsum([len(wave) for wave in waves])
    np.savez(spoken, samples=np.concatenate(waves), ends=ends, rate=rate)


def _speak(library: ctypes.CDLL, line: Line) -> None:
    voice = f"{line.language}+{line.variant}"
    if library.espeak_SetVoiceByName(voice.encode()):
        raise SystemExit(f"no voice {voice}")
    for parameter, value in ((RATE, line.rate), (PITCH, line.pitch), (RANGE, line.pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    text = line.text.encode()
    size = ctypes.c_size_t(len(text) + 1)
    if library.espeak_Synth(text, size, 0, CHARACTERS, 0, UTF8, None, None):
        raise SystemExit(f"cannot speak {line.text!r}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
