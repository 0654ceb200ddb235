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
from typing import Any, NamedTuple

import numpy as np

from jaxgan.core.errors import UserError

SYNCHRONOUS = 2
DONT_EXIT = 0x8000
PHONEME_EVENTS, IN_IPA = 1, 2
RATE, PITCH, RANGE = 1, 3, 4
CHARACTERS, UTF8 = 1, 1
END_OF_EVENTS, PHONEME = 0, 7
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


class Phoneme(NamedTuple):
    """A phoneme of a spoken line. It lasts until the next one starts.

    Attributes:
        start: its first sample.
        ipa: its symbols in the International Phonetic Alphabet, with marks of stress and length, of
            at most 8 bytes in UTF-8; "" for a pause.
    """

    start: int
    ipa: str


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h; its union is read as the name of a phoneme."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


def version() -> str:
    """Returns the version of the wheel that contains the synthesiser.

    Raises:
        UserError: the wheel is not installed.
    """
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "the built-in speech needs the package espeakng-loader, which is not installed: "
            "install it, or choose another config.data.kind"
        ) from error


def synthesise(lines: Sequence[Line]) -> tuple[list[np.ndarray], int]:
    """Speaks sentences. Equal lists give equal samples.

    Returns:
        A pair: one int16 [n] array per line, and their sample rate in Hz.

    Raises:
        UserError: the synthesiser fails on this machine.
    """
    waves, _, rate = _synthesise(lines, 0)
    return waves, rate


def synthesise_phonemes(
    lines: Sequence[Line],
) -> tuple[list[np.ndarray], list[list[Phoneme]], int]:
    """Speaks sentences and says where their phonemes are. The samples are those of `synthesise`.

    Returns:
        One int16 [n] array per line; the phonemes of each line, in order; and the sample rate in
        Hz.

    Raises:
        UserError: the synthesiser fails on this machine.
    """
    return _synthesise(lines, PHONEME_EVENTS | IN_IPA)


def _synthesise(
    lines: Sequence[Line], options: int
) -> tuple[list[np.ndarray], list[list[Phoneme]], int]:
    """Runs this module as a script, with options of espeak_Initialize."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        script, spoken = Path(folder, "lines.json"), Path(folder, "spoken.npz")
        plain = {"lines": [asdict(line) for line in lines], "options": options}
        script.write_text(json.dumps(plain))
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
                f"eSpeak NG, which the built-in speech needs, does not run here ({reason}): "
                "choose another config.data.kind"
            )
        with np.load(spoken) as file:
            samples, ends, rate = file["samples"], file["ends"], int(file["rate"])
            phonemes = json.loads(str(file["phonemes"]))
    waves = np.split(samples, ends[:-1])
    return waves, [[Phoneme(*found) for found in line] for line in phonemes], rate


def _main(script: str, spoken: str) -> None:
    # Only this process needs the wheel, so training on other data works without it.
    import espeakng_loader

    plain = json.loads(Path(script).read_text())
    lines = [Line(**fields) for fields in plain["lines"]]
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT | plain["options"])
    if rate <= 0:
        raise SystemExit("espeak_Initialize failed")
    pieces: list[np.ndarray] = []
    found: list[tuple[int, str]] = []
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
    )

    def receive(samples: Any, count: int, events: Any) -> int:
        if count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in iter(events):
            if event.type == END_OF_EVENTS:
                break
            if event.type == PHONEME:
                # A name of more than 8 bytes is cut, perhaps within a character.
                found.append((event.sample, event.name.decode(errors="ignore")))
        return 0

    callback = signature(receive)
    library.espeak_SetSynthCallback(callback)
    waves, phonemes = [], []
    for number, line in enumerate(lines):
        pieces.clear()
        found.clear()
        # Breathiness and roughness use two random number generators: eSpeak NG's own, which is
        # seeded with the time by default, and the C library's.
        library.espeak_ng_SetRandSeed(ctypes.c_long(number + 1))
        ctypes.CDLL(None).srand(number + 1)
        _speak(library, line)
        waves.append(np.concatenate([np.zeros(0, np.int16), *pieces]))
        phonemes.append(list(found))
    ends = np.cumsum([len(wave) for wave in waves])
    as_json = np.array(json.dumps(phonemes))
    np.savez(spoken, samples=np.concatenate(waves), ends=ends, rate=rate, phonemes=as_json)


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
