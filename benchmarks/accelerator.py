"""Measures jaxgan on an accelerator that is available for some minutes, in order of value.

    python benchmarks/accelerator.py --minutes=9 --speech=DIR --noise=DIR [--pairs=DIR] --json=FILE
        [--parts=NAME,NAME] [--config.key=value ...]
    python benchmarks/accelerator.py --minutes=9 --parts=versions,images,translation,seeds
        --json=FILE
    python benchmarks/accelerator.py --rehearse [--parts=NAME,NAME] --json=FILE

Every part is a process of its own with a time limit (accelerator_parts.py). What it has found so
far is in FILE within a second, so a run that is cut short leaves its figures. `--rehearse` runs the
same code with tiny networks and shapes on any machine, with generated audio if --speech is absent.
--speech and --noise are folders of audio, --pairs holds clean/ and noisy/ with equal file names.
Settings such as --config.scoring.where=host apply to every part on speech. The parts on images and
control use drawn digits, points and CartPole, so they need no folders.

The script runs from a source tree (PYTHONPATH=.) and needs no network. Carry what the machine
lacks as wheels, and install them with `pip install --no-index --no-deps --target=DIR *.whl`, with
DIR on PYTHONPATH: ml_collections, pystoi, soundfile (with cffi and pycparser), soxr, tensorboardX,
rich (with markdown-it-py, mdurl and pygments), etils, psutil; and pesq, which has no wheels:
`pip wheel --no-deps pesq` builds one for the Python that runs it, which must be of the machine's
version. espeakng-loader is not needed. The parts images, translation and seeds need matplotlib,
pillow and scipy too, but not pystoi, psutil and pesq. A part whose packages are missing gives the
reason; without PyTorch, images and translation have jaxgan's own figures.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHARES = {
    "versions": 2,  # Python, packages, card, driver
    "start": 40,  # metricgan_plus with an empty and with a filled compilation cache
    "rounds": 36,  # batch 8 and 32, float32 and bfloat16: time by part, replay, load of the device
    "recurrent": 8,  # the generator's two BLSTMs beside PyTorch
    "convolutions": 6,  # the discriminator's convolutions; all of it beside PyTorch
    "enhancement": 4,  # 64 x 4 s
    "scores": 7,  # PESQ and STOI on the device beside the packages
    "torch": 20,  # one round of the two loops in PyTorch and of jaxgan
    "resume": 10,  # stopping and continuing equals not stopping
    "images": 7,  # fully connected GAN and DCGAN beside PyTorch, float32 and bfloat16
    "translation": 10,  # pix2pix and CycleGAN beside PyTorch, float32 and bfloat16
    "seeds": 5,  # eight seeds in one program beside one: points, fully connected GAN, DQN
    "train": 4,  # metricgan_plus for the time that is left, its validation, eval.py
}
"""The parts in their order. A part may use its share of the time that is left, divided by its own
and all later shares; so what one leaves goes to those after it, and the last one gets all of it."""
NEED_AUDIO = ("start", "rounds", "scores", "torch", "resume", "train")
"""The parts that read --speech and --noise."""
PROGRAM = Path(__file__).with_name("accelerator_parts.py")
GRACE_SECONDS = 4.0
"""How long a part that is over its limit may take to write what it has found."""
POLL_SECONDS = 0.3
SHOWN = 40
"""The most figures of a part that are printed; the file has all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts. Returns the exit status: 0, or 1 if a part gave no figure."""
    options = parse(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    results: dict[str, Any] = {
        "settings": {"minutes": options.minutes, "rehearsal": options.rehearse}
        | {"parts": options.parts, "overrides": options.overrides},
        "parts": {},
    }
    deadline = time.monotonic() + 60 * options.minutes - GRACE_SECONDS
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write(options.json, results)
        prepare(options, Path(folder))
        for position, name in enumerate(options.parts):
            shares = [SHARES[part] for part in options.parts[position:]]
            limit = (deadline - time.monotonic()) * shares[0] / sum(shares)
            for part in run(name, limit, Path(folder), stopped):
                results["parts"][name] = part
                write(options.json, results)
            print(table(name, results["parts"][name]), flush=True)
            if stopped.is_set():
                print(f"stopped: the figures so far are in {options.json}", file=sys.stderr)
                return 130
    return int(any(part["status"] != "done" for part in results["parts"].values()))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options; `parts` in their order, `overrides` for the configs."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, help="for everything (default 9; 30 to rehearse)")
    parser.add_argument("--speech", type=Path, help="folder of clean speech")
    parser.add_argument("--noise", type=Path, help="folder of noise")
    parser.add_argument("--pairs", type=Path, help="folder with clean/ and noisy/")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--parts", default=",".join(SHARES), help=f"of {','.join(SHARES)}")
    parser.add_argument("--rehearse", action="store_true", help="everything tiny, on any machine")
    options, overrides = parser.parse_known_args(arguments)
    options.overrides = overrides
    options.minutes = options.minutes or (30.0 if options.rehearse else 9.0)
    chosen = options.parts.split(",")
    options.parts = [name for name in SHARES if name in chosen]
    for wrong in sorted(set(chosen) - set(SHARES)):
        parser.error(f"--parts={wrong}: choose from {', '.join(SHARES)}")
    for wrong in [flag for flag in options.overrides if not flag.startswith("--config.")]:
        parser.error(f"{wrong}: no such option")
    if bool(options.speech) != bool(options.noise):
        parser.error("--speech and --noise: give both or neither")
    if set(options.parts) & set(NEED_AUDIO) and not (options.speech or options.rehearse):
        parser.error("give --speech and --noise, or --rehearse")
    for folder in filter(None, (options.speech, options.noise, options.pairs)):
        if not folder.is_dir():
            parser.error(f"{folder}: there is no such folder")
    return options


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Writes what every part reads: job.json, and audio if none is given."""
    speech, noise, pairs = options.speech, options.noise, options.pairs
    if not speech:
        speech, noise, made = (folder / name for name in ("speech", "noise", "pairs"))
        make_audio(speech, noise, made)
        pairs = pairs or made
    paths = {"speech": speech, "noise": noise, "pairs": pairs}
    job = {name: str(path.absolute()) if path else "" for name, path in paths.items()}
    more = {"rehearse": options.rehearse, "overrides": options.overrides}
    (folder / "job.json").write_text(json.dumps(job | more))


def make_audio(speech: Path, noise: Path, pairs: Path) -> None:
    """Writes some seconds of noise, of harmonic sounds with the rhythm of speech, and of both."""
    random = np.random.default_rng(0)
    for number in range(12):
        moments = np.arange(int(16000 * random.uniform(1.5, 2.0))) / 16000
        pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(4 * moments + number)) / 16000
        voice = sum(np.sin(k * pitch) / k for k in range(1, 20))
        voice = voice * np.maximum(np.sin(2 * np.pi * 3 * moments + number), 0) * 4000
        hiss = 800 * random.standard_normal(len(moments))
        name = f"{number}_{number}.wav"
        for folder, samples in ((speech, voice), (noise, hiss)):
            write_wave(folder / name, samples)
        if number < 4:
            for side, samples in (("clean", voice), ("noisy", voice + hiss)):
                write_wave(pairs / side / name, samples)


def write_wave(path: Path, samples: np.ndarray) -> None:
    """Writes samples of full scale 32768 as a 16 kHz wav file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())


def run(
    name: str, limit: float, folder: Path, stopped: threading.Event
) -> Iterator[dict[str, Any]]:
    """Runs a part and yields its entry of the results whenever that changes.

    Args:
        name: of the part.
        limit: how many seconds it may take.
        folder: of job.json, and for the part's files.
        stopped: set when the part should end before its limit.

    Yields:
        "status" ("running", "done", "failed", "over its limit" or "stopped"), "seconds", "limit",
        "figures", and the "reason" of a failure.
    """
    found, errors = folder / f"{name}.json", folder / f"{name}.stderr"
    begin, seen = time.monotonic(), 0
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), name, str(folder), f"{limit:.1f}"],
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,  # so that it can be ended together with its children
        )
    try:
        while process.poll() is None and time.monotonic() - begin < limit:
            if stopped.wait(POLL_SECONDS):
                break
            changed = found.stat().st_mtime_ns if found.exists() else 0
            if changed != seen:
                seen = changed
                yield entry("running", begin, limit, found)
        cut = "stopped" if stopped.is_set() else "over its limit"
        status = {0: "done", None: cut}.get(process.poll(), "failed")
    finally:
        end(process)
    last = errors.read_text(errors="replace").strip().splitlines()[-1:]
    more = {"reason": "".join(last)[:300]} if status == "failed" else {}
    yield entry(status, begin, limit, found) | more


def entry(status: str, begin: float, limit: float, found: Path) -> dict[str, Any]:
    """Returns the entry of a part with the figures that it has written so far."""
    figures = json.loads(found.read_text()) if found.exists() else {}
    seconds = round(time.monotonic() - begin, 1)
    return {"status": status, "seconds": seconds, "limit": round(limit, 1), "figures": figures}


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and its children: by SIGTERM, and what is left of them by SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Writes the results so that a reader finds either the old ones or all of the new ones."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(path)


def table(name: str, part: Mapping[str, Any]) -> str:
    """Returns a part's status and its first figures as text, one a line."""
    reason = f": {part['reason']}" if "reason" in part else ""
    lines = [f"{name}: {part['status']} in {part['seconds']} of {part['limit']} s{reason}"]
    shown = list(flat(part["figures"]))
    lines += [f"    {key}: {value}" for key, value in shown[:SHOWN]]
    return "\n".join(lines + ["    ..."] * (len(shown) > SHOWN))


def flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the figures of nested mappings as text, without lists."""
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}: ")
        elif not isinstance(value, list):
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
