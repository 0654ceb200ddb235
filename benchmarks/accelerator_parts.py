"""The parts of accelerator.py, which runs this file: accelerator_parts.py NAME FOLDER SECONDS.

Every part adds figures by name to FOLDER/NAME.json as soon as it has them. A figure that cannot be
measured here is {"reason": ...}. The parts in this file start train.py and read its metrics.jsonl
and what it prints; they leave the accelerator to it, so they do not start jax on it.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import accelerator_programs as programs
import numpy as np
from accelerator_job import ROOT, Busy, Figures, Job, Run, reason, train_py

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "pesq", "pystoi")
CARD = ("name", "memory.total", "driver_version")
COMPILED = re.compile(r"Finished XLA compilation of (\S+) in ([\d.]+) sec")
CACHED = "Persistent compilation cache hit"
TRAINING = re.compile(r"jit\((program|\w*step\w*)\)")
"""The names of compiled training steps: that of core.steps, or the step's own."""
QUICK_COMPILATION = "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"
"""For rehearsals, which run every program only a few times."""
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
ROUNDS, UTTERANCES, SHARE = 750, 100, 0.2
"""Rounds, utterances a round and share of the replay, from configs/metricgan_plus.py."""


def main(arguments: Sequence[str]) -> int:
    """Measures a part. Returns the exit status: 0, or 1 if it has no figure but reasons."""
    name, folder, seconds = arguments
    signal.signal(signal.SIGTERM, _leave)
    # The parts share one cache of compiled programs, which is empty for the first part.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(folder, "compiled"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    sys.path.insert(1, str(ROOT))
    os.chdir(ROOT)
    job = Job(name, Path(folder), float(seconds))
    if job.rehearse:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILATION}"
    try:
        PARTS[name](job)
    except Exception as error:
        print(reason(error), file=sys.stderr)
        return 1
    reasons = [f["reason"] for f in job.figures.values() if isinstance(f, dict) and "reason" in f]
    if len(reasons) == len(job.figures):
        print(reasons[0] if reasons else "nothing was measured", file=sys.stderr)
        return 1
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def versions(job: Job) -> None:
    """Reports Python, packages, the card and its driver, and what jax says of the device."""
    job.report("python", platform.python_version())
    for package in PACKAGES:
        job.attempt(package, importlib.metadata.version, package)
    job.attempt("card", card)
    job.attempt("device", device)
    job.report("cores", os.cpu_count())


def card() -> dict[str, str]:
    """Returns what nvidia-smi answers about the first card."""
    query = ["nvidia-smi", f"--query-gpu={','.join(CARD)}", "--format=csv,noheader", "-i", "0"]
    answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return dict(zip(CARD, answer.strip().split(", "), strict=True))


def device() -> Figures:
    """Returns what jax says of its devices."""
    import jax

    first = jax.devices()[0]
    client = " ".join(first.client.platform_version.split())
    return {"kind": first.device_kind, "count": len(jax.devices()), "client": client}


def batch_flags(job: Job, size: int) -> list[str]:
    """Returns the settings of a batch size; the learning rate follows it, as in the config."""
    flags = [f"--config.batch_size={size}"]
    if not job.rehearse:
        flags.append(f"--config.discriminator_learning_rate={5e-4 * size}")
    return flags


def start(job: Job) -> None:
    """Reports the start of metricgan_plus, batch 8: first without compiled programs, then with."""
    few = job.sized(16, 8)
    for name in ("cold", "warm"):
        flags = ["--config.rounds=2", f"--config.utterances_per_round={few}"]
        run = train_py(job, f"start-{name}", flags, JAX_LOG_COMPILES="1")
        try:
            run.wait()
        finally:  # also when the time is up
            job.report(name, start_figures(run.lines, run.begin, run.ends()))


def start_figures(
    lines: Sequence[tuple[float, str]], begin: float, ends: Mapping[int, float]
) -> Figures:
    """Returns when a run that logs its compilations made its first updates, and what it compiled.

    The first update of D comes after "first training program s" and before "round 1 done s", which
    has the first updates of all kinds; round 2 adds those on replayed speech. Programs from the
    cache are counted with the seconds for loading them.
    """
    matches = [(moment, COMPILED.search(line)) for moment, line in lines]
    found = [(moment - begin, match[1], float(match[2])) for moment, match in matches if match]
    steps = [moment for moment, name, _ in found if TRAINING.search(name)]
    said = {
        name: next((moment - begin for moment, line in lines if text in line), None)
        for name, text in (("data read s", "valid: "), ("state made s", ": starts, "))
    }
    return {
        **said,
        "first training program s": steps[0] if steps else None,
        "round 1 done s": ends[1] - begin if 1 in ends else None,
        "round 2 done s": ends[2] - begin if 2 in ends else None,
        "programs": len(found),
        "from the cache": sum(CACHED in line for _, line in lines),
        "compile seconds, added up": sum(seconds for *_, seconds in found),
        "compiled": [
            {"program": name, "compile s": seconds, "ready at s": round(moment, 1)}
            for moment, name, seconds in found
            if seconds >= 0.1
        ],
    }


def rounds(job: Job) -> None:
    """Reports three rounds of metricgan_plus for each batch size and dtype.

    All items of earlier rounds are replayed, 2 to 4 times as many as a round has, so that the cost
    of one is measured well; the time of a round is reported with and without them.
    """
    small, large = job.sized((8, 32), (2, 4))
    few = job.sized(UTTERANCES, 4)
    for size, dtype in (
        *((small, "float32"), (small, "bfloat16")),
        *((large, "bfloat16"), (large, "float32")),
    ):
        name = f"batch {size}, {dtype}"
        flags = [f"--config.dtype={dtype}", *batch_flags(job, size)]
        # The last round is validated, so it is not measured.
        flags += ["--config.rounds=6", f"--config.utterances_per_round={few}"]
        flags += ["--config.replay.share=1.0"]
        with Busy() as busy:
            run = train_py(job, f"rounds-{size}-{dtype}", flags)
            failure = {}
            try:
                run.wait()
            except RuntimeError as error:
                failure = {"reason": reason(error)}
            finally:  # also when the time is up
                job.report(name, round_figures(run, busy, size) | failure)


def round_figures(run: Run, busy: Busy, batch_size: int) -> Figures:
    """Returns medians over rounds 3 to 5, or over what there is of them."""
    rows, ends = run.rows(), run.ends()
    if len(rows) < 3:
        return {"reason": f"only {len(rows)} rounds were done"}
    measured = rows[2:5]
    times = sorted({name for row in measured for name in row if name.startswith("time/")})
    speed = "throughput/audio_seconds_per_second"
    begin, end = ends.get(2), ends.get(measured[-1]["round"])
    return {
        "rounds": len(measured),
        "round 1 done s": ends[1] - run.begin if 1 in ends else None,
        "compile s in them": sum(row["time/compile"] for row in measured),
        "audio seconds a second": statistics.median(row[speed] for row in measured),
        "device busy (nvidia-smi)": busy.share(begin, end) if begin and end else None,
        **replay_figures(measured, batch_size),
        **{f"{name} s": statistics.median(row.get(name, 0) for row in measured) for name in times},
    }


def replay_figures(rows: Sequence[Figures], batch_size: int) -> Figures:
    """Returns the cost of a replayed item and the sum for the recipe's rounds, from some rounds.

    With the share 0.2 round r replays 20 (r - 1) items, so 750 rounds replay 5,617,500.
    """
    item = sum(row["time/replay"] for row in rows) / sum(row["train/replayed"] for row in rows)
    others = statistics.median(row["time/round"] - row["time/replay"] for row in rows)
    items = round(SHARE * UTTERANCES * ROUNDS * (ROUNDS - 1) / 2)
    fresh, replayed = ROUNDS * others / 3600, items * item / 3600
    return {
        "ms of an item": 1e3 * item,
        "ms of D's step": 1e3 * item * batch_size,
        "round without replay s": others,
        "750 rounds": f"750 x {others:.3g} s + {items} items x {1e3 * item:.3g} ms = "
        f"{fresh:.3g} h + {replayed:.3g} h = {fresh + replayed:.3g} h",
        "hours": fresh + replayed,
    }


def resume(job: Job) -> None:
    """Reports how a run that stops after two of three rounds differs from one that does not.

    The networks are tiny. All runs start at the same time, since none of them is timed.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")  # only compares; the runs have the accelerator
    given = os.environ.get("XLA_FLAGS", "")
    modes = {"deterministic": f"{given} {DETERMINISTIC}".strip(), "default": given}

    def start(mode: str, workdir: str, count: int) -> Run:
        flags = [f"--config.utterances_per_round={job.sized(16, 8)}", f"--config.rounds={count}"]
        shared = {"XLA_FLAGS": modes[mode], "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        return train_py(job, f"{workdir}-{mode}", flags, preset=":tiny", **shared)

    whole = {mode: start(mode, "whole", 3) for mode in modes}
    stopped = {mode: start(mode, "stopped", 2) for mode in modes}
    for run in stopped.values():
        run.process.wait()
    continued = {mode: start(mode, "stopped", 3) for mode in modes}
    for mode, xla_flags in modes.items():
        job.attempt(mode, of_resume, whole[mode], continued[mode], xla_flags)


def of_resume(whole: Run, continued: Run, xla_flags: str) -> Figures:
    """Returns the largest difference of the networks and of the last round's metrics."""
    import jax

    from jaxgan.core.players import load_players

    (row, networks), (other_row, other_networks) = (
        (run.wait().rows()[-1], load_players(run.workdir, "last")) for run in (whole, continued)
    )
    leaves = (jax.tree.leaves(jax.device_get(of)) for of in (networks, other_networks))
    of_networks = max(
        float(np.abs(one - other).max(initial=0)) for one, other in zip(*leaves, strict=True)
    )
    metrics = [name for name in row if name.startswith("train/")]
    of_metrics = max(abs((row[name] or 0) - (other_row[name] or 0)) for name in metrics)
    return {
        "XLA_FLAGS": xla_flags,
        "rounds": other_row["round"],
        "bit for bit": of_networks == of_metrics == 0,
        "largest difference of a parameter": of_networks,
        "largest difference of a metric": of_metrics,
    }


def train(job: Job) -> None:
    """Reports the validation scores of metricgan_plus after the time that is left, and eval.py."""
    left = job.end - time.monotonic()
    reserve = left * (0.3 if job.pairs else 0.1)
    flags = [f"--config.rounds={ROUNDS}", "--config.checkpoint.every=5"]
    flags += [f"--config.validation.every={job.sized(5, 1)}", "--config.validation.utterances=32"]
    run = train_py(job, "train", flags)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(min(left - reserve, job.sized(left, 45)))
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)  # it finishes its round
        run.wait()
    finally:
        job.report("validation", validation_figures(run))
    if job.pairs:
        job.attempt("eval.py", of_eval, job, run.workdir)


def validation_figures(run: Run) -> Figures:
    """Returns how far a run came, and its validation scores by round."""
    rows = run.rows()
    names = {name for row in rows for name in row if name.startswith("valid/")}
    validated = [row for row in rows if names & row.keys()]
    last = rows[-1] if rows else {}
    figures = {"rounds": len(rows), "seconds": last.get("wall_seconds"), "step": last.get("step")}
    scored = {name: value for row in validated for name, value in row.items() if name in names}
    kept = [{"round": row["round"]} | {n: row[n] for n in names & row.keys()} for row in validated]
    return figures | scored | {"by round": kept}


def of_eval(job: Job, workdir: Path) -> Figures:
    """Returns the summary of eval.py on the pairs."""
    output = job.folder / "eval"
    flags = [f"--workdir={workdir}", f"--data={job.pairs}", f"--output={output}"]
    done = subprocess.run(
        [sys.executable, "eval.py", *flags], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"eval.py: status {done.returncode}")
    summary: Figures = json.loads((output / "summary.json").read_text())
    return summary


PARTS: dict[str, Callable[[Job], None]] = {
    "versions": versions,
    "start": start,
    "rounds": rounds,
    "recurrent": programs.recurrent,
    "convolutions": programs.convolutions,
    "enhancement": programs.enhancement,
    "scores": programs.scores,
    "torch": programs.torch_loops,
    "resume": resume,
    "images": programs.images,
    "translation": programs.translation,
    "seeds": programs.seeds,
    "train": train,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
