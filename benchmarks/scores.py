"""Scores on the device against the packages on the host: accuracy, speed, memory, invariance.

    python benchmarks/scores.py [--data=DIR] [--json=FILE]

DIR holds clean/ and noisy/ with files of equal names; without it the built-in demo corpus is used.
A CPU's cores are used as one device each; the host's packages run on one core. Differences on pairs
that the package `pesq` does not itself find aligned are real and are listed: it searches for
delays, which the device's PESQ does not, and errs on noisy speech below about 5 dB.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import soxr
from jax.sharding import Mesh, PartitionSpec

import jaxgan.scores
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.scores import device
from jaxgan.speech import audio, demo
from jaxgan.speech.audio import SAMPLE_RATE
from jaxgan.speech.pairs import read_pairs

Pair = tuple[np.ndarray, np.ndarray]
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
Row = dict[str, Any]
TOLERANCE = {"pesq_wb": 2e-3, "pesq_nb": 2e-3, "stoi": 1e-3, "estoi": 1e-3, "si_sdr": 1e-2}
TOGETHER = 16
"""Pairs in a batch while accuracy is measured."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints tables, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with clean/ and noisy/")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    parser.add_argument("--pairs", type=int, default=64, help="pairs to compare (default 64)")
    parser.add_argument("--batch_sizes", default="1,8,32", help="for the speed (default 1,8,32)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a pair, for the speed")
    parser.add_argument("--repeats", type=int, default=5, help="timings; the fastest counts")
    options = parser.parse_args(arguments)
    devices.use_cores(32)
    devices.prepare()
    try:
        sizes = [int(size) for size in options.batch_sizes.split(",")]
        pairs = load(options.data, options.pairs)
    except (UserError, ValueError) as error:
        print(f"scores.py: {error}", file=sys.stderr)
        sys.exit(2)
    kind = jax.devices()[0].device_kind
    figures: dict[str, Any] = {"devices": f"{jax.device_count()} x {kind}"}
    print(f"devices: {figures['devices']}; {len(pairs)} pairs")
    for title, rows in (
        ("accuracy", accuracy(pairs)),
        ("speed", speed(list(pairs.values()), sizes, options.seconds, options.repeats)),
        ("invariance", invariance(list(pairs.values()))),
    ):
        figures[title] = list(rows)
        print(f"\n{title}\n{table(figures[title])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def load(folder: Path | None, count: int) -> dict[str, Pair]:
    """Up to `count` pairs by name, float32 [n] with full scale 1 at 16 kHz."""
    if folder is None:
        corpus = demo.open_set("valid", count, seed=0)
    else:
        corpus, problems = read_pairs(folder)
        for problem in problems:
            print(f"left out: {problem}", file=sys.stderr)
    return {
        corpus.names[i]: (audio.to_float(corpus.clean(i)), audio.to_float(corpus.noisy(i)))
        for i in range(min(count, len(corpus)))
    }


def batches(pairs: Sequence[Pair], size: int, rate: int) -> Iterator[Batch]:
    """(reference [size, T], estimate, lengths [size]) with one T for all, empty rows at the end."""
    samples = -(-max(len(clean) for clean, _ in pairs) // rate) * rate
    for begin in range(0, len(pairs), size):
        sides = np.zeros((2, size, samples), np.float32)
        lengths = np.zeros(size, np.int32)
        for row, (clean, other) in enumerate(pairs[begin : begin + size]):
            lengths[row] = len(clean)
            sides[0, row, : len(clean)], sides[1, row, : len(clean)] = clean, other
        yield sides[0], sides[1], lengths


def accuracy(pairs: dict[str, Pair]) -> Iterator[Row]:
    """One row a score: how far device and host differ, and on which pairs too far."""
    half = SAMPLE_RATE // 2
    halved = [
        (soxr.resample(clean, SAMPLE_RATE, half), soxr.resample(other, SAMPLE_RATE, half))
        for clean, other in pairs.values()
    ]
    for name, rate in [*((name, SAMPLE_RATE) for name in TOLERANCE), ("pesq_nb", half)]:
        chosen = list(pairs.values()) if rate == SAMPLE_RATE else halved
        host = np.array([jaxgan.scores.get(name)(*pair, rate) for pair in chosen])
        score = getattr(device, name)
        found = [np.asarray(score(*batch, rate)) for batch in batches(chosen, TOGETHER, rate)]
        scores = np.concatenate(found)[: len(chosen)]
        difference = np.abs(scores - host)
        beyond = difference > TOLERANCE[name]
        names = list(pairs)
        yield {
            "score": name,
            "rate": rate,
            "pairs": len(chosen),
            "unscorable": int(np.isnan(host).sum()),
            "disagree": int((np.isnan(host) != np.isnan(scores)).sum()),
            "tolerance": TOLERANCE[name],
            "beyond": int(beyond.sum()),
            "mean of others": summary(np.mean, difference[~beyond]),
            "max of others": summary(np.max, difference[~beyond]),
            "pairs beyond": [
                f"{names[i]}: {host[i]:.3f} {scores[i]:.3f}" for i in np.flatnonzero(beyond)
            ],
        }


def summary(of: Callable[[np.ndarray], Any], values: np.ndarray) -> float:
    """Of those that are not NaN; 0 where there are none."""
    values = values[~np.isnan(values)]
    return float(of(values)) if values.size else 0.0


def looped(sources: Sequence[Pair], count: int, seconds: float, bursts: bool) -> list[Pair]:
    """Pairs of one length, speech repeated where short; the noise low, or in loud bursts."""
    samples = int(seconds * SAMPLE_RATE)
    random = np.random.default_rng(0)
    loud = (np.arange(samples) // (SAMPLE_RATE // 3)) % 4 == 1
    made = []
    for number in range(count):
        clean, noisy = (
            np.resize(np.roll(side, 977 * number), samples)
            for side in sources[number % len(sources)]
        )
        estimate = clean + 0.1 * (noisy - clean)
        if bursts:
            estimate = estimate + loud * np.std(clean) * random.standard_normal(samples)
        made.append((clean, estimate.astype(np.float32)))
    return made


def speed(
    sources: Sequence[Pair], sizes: Sequence[int], seconds: float, repeats: int
) -> Iterator[Row]:
    """One row a score and batch size: time a pair takes one core with the package, and the device.

    Both are timed in turn, so that what else the machine does hits both.
    """
    cases = (("pesq_wb", False), ("pesq_wb", True), ("pesq_nb", False), ("stoi", False))
    for name, bursts in cases:
        host = jaxgan.scores.get(name)
        for size in sizes:
            pairs = looped(sources, size, seconds, bursts)
            compiled, arrays = on_all_devices(getattr(device, name), pairs)
            jax.block_until_ready(compiled(*arrays))
            times: dict[str, list[float]] = {"host": [], "device": []}
            for repeat in range(repeats):
                begin = time.perf_counter()
                host(*pairs[repeat % size], SAMPLE_RATE)
                times["host"].append(time.perf_counter() - begin)
                begin = time.perf_counter()
                jax.block_until_ready(compiled(*arrays))
                times["device"].append((time.perf_counter() - begin) / size)
            host_ms, device_ms = (1e3 * min(times[place]) for place in ("host", "device"))
            memory = compiled.memory_analysis()
            yield {
                "score": name,
                "bad intervals": "yes" if bursts else "no",
                "batch": size,
                "seconds": seconds,
                "host ms/pair": host_ms,
                "device ms/pair": device_ms,
                "times faster": host_ms / device_ms,
                "working MB/device": memory.temp_size_in_bytes / 1e6,
                "input MB/device": memory.argument_size_in_bytes / 1e6,
            }


def on_all_devices(
    score: Callable[..., jax.Array], pairs: Sequence[Pair]
) -> tuple[Any, tuple[jax.Array, ...]]:
    """The compiled score of one batch, on as many devices as divide it, and its arguments."""
    (batch,) = batches(pairs, len(pairs), SAMPLE_RATE)
    count = max(n for n in range(1, jax.device_count() + 1) if len(pairs) % n == 0)
    mesh = devices.make_mesh(count)
    arrays = devices.put_sharded(batch, mesh)
    return jax.jit(sharded(score, mesh)).lower(*arrays).compile(), arrays


def sharded(score: Callable[..., jax.Array], mesh: Mesh) -> Callable[..., jax.Array]:
    """The score with each device working on its own rows."""
    rows = PartitionSpec(devices.DATA)
    return jax.shard_map(score, mesh=mesh, in_specs=rows, out_specs=rows)


def invariance(sources: Sequence[Pair]) -> Iterator[Row]:
    """One row a score: the largest change between ways to compute the same 32 scores."""
    (batch,) = batches([sources[i % len(sources)] for i in range(32)], 32, SAMPLE_RATE)
    reference, estimate, lengths = batch
    longer = [np.pad(side, ((0, 0), (0, SAMPLE_RATE))) for side in (reference, estimate)]
    mesh = devices.make_mesh()
    for name in TOLERANCE:
        score = getattr(device, name)
        together = np.asarray(score(*batch))
        alone = [score(*(side[i : i + 1] for side in batch))[0] for i in range(4)]
        spread = jax.jit(sharded(score, mesh))(*devices.put_sharded(batch, mesh))
        changes = {
            "batch of 1": np.asarray(alone) - together[:4],
            "padded by 1 s": score(*longer, lengths) - together,
            f"{mesh.size} devices": spread - together,
        }
        yield {
            "score": name,
            **{way: float(np.nanmax(np.abs(change))) for way, change in changes.items()},
        }


def table(rows: Sequence[Row]) -> str:
    """Rows as text in columns; lists follow below, one line an entry."""
    heads = [head for head, value in rows[0].items() if not isinstance(value, list)]
    lines = [heads, *([shown(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    for row in rows:
        for head, value in row.items():
            if isinstance(value, list) and value:
                text.append(f"{row['score']} at {row['rate']} Hz, {head} (host, device):")
                text.extend(f"  {entry}" for entry in value)
    return "\n".join(text)


def shown(value: Any) -> str:
    """A cell: floats to three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
