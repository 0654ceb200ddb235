"""Compares scores on the device with the packages on the host: accuracy, speed, memory, invariance.

    python benchmarks/scores.py [--data=DIR ...] [--speech=DIR --noise=DIR] [--workdir=DIR]
                                [--json=FILE]

Accuracy is measured on every --data folder (clean/ and noisy/ with the same file names), on
mixtures of --speech and --noise at -5 to 20 dB, and on the output of --workdir's generator for all
of these. Without such options it is measured on the built-in demo corpus. Each CPU core serves as
one device; the packages run on one core.

The package `pesq` first estimates delays, which PESQ on the device does not. If it finds a delay in
an aligned pair, the two scores measure different things, so such pairs get separate rows
(pesq_delays.py; without a C compiler the delay is "?"). Pairs beyond the tolerance are listed.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pesq_delays
import pesq_steps
import soxr
from jax.sharding import Mesh, PartitionSpec

import jaxgan.scores
from jaxgan import recipes
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.scores import device
from jaxgan.speech.data import audio, demo
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.corpus import PairCorpus
from jaxgan.speech.data.folders import existing_folder, read_folder
from jaxgan.speech.data.mix import MixCorpus, reason_noise_unusable
from jaxgan.speech.data.pairs import read_pairs

Pair = tuple[np.ndarray, np.ndarray]
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
Row = dict[str, Any]
Sets = dict[str, dict[str, Pair]]
"""For each set, by name, its pairs by name."""
TOLERANCE = {"pesq_wb": 2e-3, "pesq_nb": 2e-3, "stoi": 1e-3, "estoi": 1e-3, "si_sdr": 1e-2}
SNRS_DB = (-5, 0, 5, 10, 15, 20)
ACCURACY_BATCH_SIZE = 16


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the measurements, prints their tables and optionally writes them as JSON."""
    options = parse_options(arguments)
    devices.prepare()
    try:
        sets = load_sets(options)
    except (UserError, OSError) as error:
        print(f"scores.py: {error}", file=sys.stderr)
        sys.exit(2)
    first_set = list(next(iter(sets.values())).values())
    kind = jax.devices()[0].device_kind
    figures: dict[str, Any] = {"devices": f"{jax.device_count()} x {kind}"}
    print(f"devices: {figures['devices']}; pairs: {sum(map(len, sets.values()))}")
    for title, rows in (
        ("accuracy", accuracy(sets)),
        ("steps of PESQ", pesq_steps.compare(sets)),
        ("invariance", invariance(first_set)),
        ("speed", speed(first_set, options.batch_sizes, options.seconds, options.repeats)),
    ):
        figures[title] = list(rows)
        print(f"\n{title}\n{format_table(figures[title])}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the command-line options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--speech", type=Path, help="folder of clean speech for mixtures")
    parser.add_argument("--noise", type=Path, help="folder of noise for mixtures")
    parser.add_argument(
        "--mixtures", type=int, default=200, help="number of mixtures (default 200)"
    )
    parser.add_argument("--workdir", type=Path, help="folder of a run with a trained generator")
    parser.add_argument("--pairs", type=int, default=1000, help="limit per folder (default 1000)")
    parser.add_argument("--batch_sizes", type=parse_integers, default=(1, 8, 32), help="for speed")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of pairs, for speed")
    parser.add_argument("--repeats", type=int, default=15, help="timings to take the median of")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    if bool(options.speech) != bool(options.noise):
        parser.error("--speech and --noise: give both or neither")
    return options


def parse_integers(text: str) -> tuple[int, ...]:
    """Returns the integers in a comma-separated list."""
    return tuple(int(number) for number in text.split(","))


def load_sets(options: argparse.Namespace) -> Sets:
    """Returns the pairs to compare, float32 [n] with full scale 1 at 16 kHz."""
    sets: Sets = {}
    for folder in options.data:
        corpus, problems = read_pairs(folder)
        sets[folder.resolve().name] = first_pairs(corpus, options.pairs)
        for problem in problems:
            print(f"left out: {problem}", file=sys.stderr)
    if options.speech:
        sets |= make_mixtures(options.speech, options.noise, options.mixtures)
    if not sets:
        sets["demo"] = first_pairs(demo.open_set("valid", min(options.pairs, 64), seed=0), 64)
    if options.workdir:
        sets |= enhance_sets(options.workdir, sets)
    return sets


def first_pairs(corpus: PairCorpus, count: int) -> dict[str, Pair]:
    """Returns the first `count` pairs of a corpus, or all if there are fewer."""
    return {
        corpus.names[i]: (audio.to_float(corpus.clean(i)), audio.to_float(corpus.noisy(i)))
        for i in range(min(count, len(corpus)))
    }


def make_mixtures(speech: Path, noise: Path, count: int) -> Sets:
    """Returns one set for each of SNRS_DB, at least `count` mixtures in total."""
    clean = read_folder(existing_folder("speech", speech), lambda wave: "")
    noises = read_folder(existing_folder("noise", noise), reason_noise_unusable)
    each = -(-count // len(SNRS_DB))
    return {
        f"mixed at {snr} dB": first_pairs(
            MixCorpus(clean.files, clean.waves, noises.waves, (snr,)).fixed(seed, each), each
        )
        for seed, snr in enumerate(SNRS_DB)
    }


def enhance_sets(workdir: Path, sets: Sets) -> Sets:
    """Returns the sets with their noisy signals enhanced by a trained generator."""
    generator = recipes.command(workdir, "enhance")(workdir, "best")
    enhanced: Sets = {}
    for title, pairs in sets.items():
        waves = generator.each((name, noisy) for name, (_, noisy) in pairs.items())
        enhanced[f"{title}, enhanced"] = {name: (pairs[name][0], wave) for name, wave in waves}
    return enhanced


def batches(pairs: Sequence[Pair], size: int, rate: int) -> Iterator[Batch]:
    """Yields (reference [size, T], estimate, lengths [size]), all with the same T.

    Rows without a pair are zero and have the length 0.
    """
    samples = -(-max(len(clean) for clean, _ in pairs) // rate) * rate
    for start in range(0, len(pairs), size):
        signals = np.zeros((2, size, samples), np.float32)
        lengths = np.zeros(size, np.int32)
        for row, (clean, other) in enumerate(pairs[start : start + size]):
            lengths[row] = len(clean)
            signals[0, row, : len(clean)], signals[1, row, : len(clean)] = clean, other
        yield signals[0], signals[1], lengths


def accuracy(sets: Sets) -> Iterator[Row]:
    """Yields one row per score, set and delay: the differences between device and host."""
    half = SAMPLE_RATE // 2
    titles = np.array([title for title, pairs in sets.items() for _ in pairs])
    names = np.array([name for pairs in sets.values() for name in pairs])
    whole = [pair for pairs in sets.values() for pair in pairs.values()]
    for score, rate in [*((name, SAMPLE_RATE) for name in TOLERANCE), ("pesq_nb", half)]:
        pairs = whole if rate == SAMPLE_RATE else [to_8_khz(*pair) for pair in whole]
        host, on_device = host_and_device_scores(score, rate, pairs)
        delay = package_delays(score, rate, pairs)
        for title in sets:
            for group in sorted(set(delay[titles == title])):
                rows = np.flatnonzero((titles == title) & (delay == group))
                common = {"set": title, "score": score, "rate": rate, "package's delay": group}
                compared = agreement(host[rows], on_device[rows], TOLERANCE[score])
                listed = [
                    f"{names[row]}: host {host[row]:.3f}, device {on_device[row]:.3f}"
                    for row in rows
                    if abs(on_device[row] - host[row]) > TOLERANCE[score]
                ]
                yield common | compared | {"pairs beyond": listed}


def package_delays(score: str, rate: int, pairs: Sequence[Pair]) -> np.ndarray:
    """Returns the package's delay of each pair as "0" or "not 0", or "?" if it is unknown."""
    if not score.startswith("pesq_"):
        return np.array(["0"] * len(pairs))
    try:
        delays = pesq_delays.largest_delays(pairs, score.removeprefix("pesq_"), rate)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"cannot determine the package's delays: {error}", file=sys.stderr)
        delays = [None] * len(pairs)
    return np.array(["?" if delay is None else "not 0" if delay else "0" for delay in delays])


def host_and_device_scores(
    score: str, rate: int, pairs: Sequence[Pair]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores [n] on the host and on the device.

    All batches have one shape, so only one program is compiled.
    """
    host = np.array([jaxgan.scores.get(score)(*pair, rate) for pair in pairs])
    scored = [
        np.asarray(getattr(device, score)(*batch, rate))
        for batch in batches(pairs, ACCURACY_BATCH_SIZE, rate)
    ]
    return host, np.concatenate([*scored, np.empty(0)])[: len(pairs)]


def to_8_khz(reference: np.ndarray, estimate: np.ndarray) -> Pair:
    """Returns a pair resampled from 16 kHz to 8 kHz."""
    first, second = (
        soxr.resample(side, SAMPLE_RATE, SAMPLE_RATE // 2) for side in (reference, estimate)
    )
    return first, second


def agreement(host: np.ndarray, scores: np.ndarray, tolerance: float) -> Row:
    """Returns statistics of the differences between scores on the host and on the device."""
    difference = np.abs(scores - host)
    finite = difference[~np.isnan(difference)]
    within = finite[finite <= tolerance]
    return {
        "pairs": len(host),
        "no score": int(np.isnan(host).sum()),
        "score on one only": int((np.isnan(host) != np.isnan(scores)).sum()),
        "median": float(np.median(finite)) if finite.size else 0.0,
        "max": float(finite.max(initial=0.0)),
        "tolerance": tolerance,
        "beyond": len(finite) - len(within),
        "max of others": float(within.max(initial=0.0)),
    }


def make_pairs(sources: Sequence[Pair], count: int, seconds: float, bursts: bool) -> list[Pair]:
    """Returns pairs of one length: repeated speech, little noise, and optionally loud bursts."""
    samples = int(seconds * SAMPLE_RATE)
    random = np.random.default_rng(0)
    loud = (np.arange(samples) // (SAMPLE_RATE // 3)) % 4 == 1
    pairs = []
    for number in range(count):
        clean, noisy = (
            np.resize(np.roll(side, 977 * number), samples)
            for side in sources[number % len(sources)]
        )
        estimate = clean + 0.1 * (noisy - clean)
        if bursts:
            estimate = estimate + loud * np.std(clean) * random.standard_normal(samples)
        pairs.append((clean, estimate.astype(np.float32)))
    return pairs


def speed(
    sources: Sequence[Pair], sizes: Sequence[int], seconds: float, repeats: int
) -> Iterator[Row]:
    """Yields one row per score and batch size: the time per pair of the package and the device.

    The timings alternate, so that other load on the machine affects both. CPU time over all cores
    (core ms) hardly depends on other load; it is meaningless for an accelerator.
    """
    cases = (("pesq_wb", False), ("pesq_wb", True), ("pesq_nb", False), ("stoi", False))
    for name, bursts in cases:
        host = jaxgan.scores.get(name)
        # Every repeat needs another pair, because the host caches the score of the last one.
        pairs = make_pairs(sources, max(*sizes, repeats), seconds, bursts)
        for size in sizes:
            compiled, arrays = on_all_devices(getattr(device, name), pairs[:size])
            jax.block_until_ready(compiled(*arrays))
            times = np.empty((repeats, 2, 2))
            for repeat in range(repeats):
                times[repeat, 0] = time_call(host, *pairs[repeat], SAMPLE_RATE)
                times[repeat, 1] = time_call(compiled, *arrays) / size
            (host_ms, host_core_ms), (ms, core_ms) = 1e3 * np.median(times, 0)
            memory = compiled.memory_analysis()
            yield {
                "score": name,
                "bad intervals": "yes" if bursts else "no",
                "batch": size,
                "seconds": seconds,
                "host ms/pair": host_ms,
                "device ms/pair": ms,
                "times faster": host_ms / ms,
                "host core ms": host_core_ms,
                "device core ms": core_ms,
                "times less CPU": host_core_ms / core_ms,
                "working MB/device": memory.temp_size_in_bytes / 1e6,
                "input MB/device": memory.argument_size_in_bytes / 1e6,
            }


def time_call(function: Callable[..., object], *arguments: object) -> np.ndarray:
    """Returns the wall time and the CPU time over all threads of a call, in seconds."""
    start = time.perf_counter(), time.process_time()
    jax.block_until_ready(function(*arguments))
    return np.array([time.perf_counter(), time.process_time()]) - start


def on_all_devices(
    score: Callable[..., jax.Array], pairs: Sequence[Pair]
) -> tuple[Any, tuple[jax.Array, ...]]:
    """Returns the compiled score of one batch and its arguments.

    It uses the largest number of devices that divides the batch.
    """
    (batch,) = batches(pairs, len(pairs), SAMPLE_RATE)
    count = max(n for n in range(1, jax.device_count() + 1) if len(pairs) % n == 0)
    mesh = devices.make_mesh(count)
    arrays = devices.put_sharded(batch, mesh)
    return jax.jit(sharded(score, mesh)).lower(*arrays).compile(), arrays


def sharded(score: Callable[..., jax.Array], mesh: Mesh) -> Callable[..., jax.Array]:
    """Returns the score as a function in which each device computes its own rows."""
    rows = PartitionSpec(devices.DATA)
    return jax.shard_map(score, mesh=mesh, in_specs=rows, out_specs=rows)


def invariance(sources: Sequence[Pair]) -> Iterator[Row]:
    """Yields one row per score: the largest change between ways to compute the same 32 scores."""
    (batch,) = batches([sources[i % len(sources)] for i in range(32)], 32, SAMPLE_RATE)
    reference, estimate, lengths = batch
    longer = [np.pad(side, ((0, 0), (0, SAMPLE_RATE))) for side in (reference, estimate)]
    mesh = devices.make_mesh()
    for name in TOLERANCE:
        score = getattr(device, name)
        expected = np.asarray(score(*batch))
        single = [
            (*(signals[i : i + 1, : lengths[i]] for signals in batch[:2]), lengths[i : i + 1])
            for i in range(4)
        ]
        one_by_one = np.concatenate([score(*pair) for pair in single])
        with jax.disable_jit():
            eager = np.asarray(score(*single[0]))
        distributed = jax.jit(sharded(score, mesh))(*devices.put_sharded(batch, mesh))
        changes = {
            "batch of one, unpadded": one_by_one - expected[:4],
            "not compiled": eager - expected[:1],
            "padded by 1 s": score(*longer, lengths) - expected,
            f"{mesh.size} devices": distributed - expected,
        }
        yield {
            "score": name,
            **{way: float(np.nanmax(np.abs(change))) for way, change in changes.items()},
        }


def format_table(rows: Sequence[Row]) -> str:
    """Returns rows as text in columns; lists follow below, one line per entry."""
    if not rows:
        return "none"
    heads = [head for head, value in rows[0].items() if not isinstance(value, list)]
    lines = [heads, *([format_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    for row in rows:
        for head, value in row.items():
            if isinstance(value, list) and value:
                text.append(
                    f"{row['set']}, {row['score']} at {row['rate']} Hz, {head} (host, device):"
                )
                text.extend(f"  {entry}" for entry in value)
    return "\n".join(text)


def format_cell(value: Any) -> str:
    """Returns a cell's text; floats have three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
