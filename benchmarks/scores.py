"""Scores on the device against the packages on the host: accuracy, speed, memory, invariance.

    python benchmarks/scores.py [--data=DIR ...] [--speech=DIR --noise=DIR] [--workdir=DIR]
                                [--json=FILE]

Accuracy is measured on every --data folder (clean/ and noisy/ with files of equal names), on
mixtures of --speech and --noise at -5 to 20 dB, and on what the generator of --workdir makes of all
these; without any of them on the built-in demo corpus. A CPU's cores are used as one device each;
the host's packages run on one core.

The package `pesq` searches for delays first, which the device's PESQ does not. Where it finds one
in an aligned pair, the two measure different things, so such pairs are rows of their own
(pesq_delays.py; without a C compiler their delay is "?"). Pairs beyond the tolerance are listed.
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
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.scores import device
from jaxgan.speech import enhancer
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
"""Pairs by name, by the name of the set they are in."""
TOLERANCE = {"pesq_wb": 2e-3, "pesq_nb": 2e-3, "stoi": 1e-3, "estoi": 1e-3, "si_sdr": 1e-2}
SNRS_DB = (-5, 0, 5, 10, 15, 20)
TOGETHER = 16
"""Pairs in a batch while accuracy is measured."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints tables, and writes them as JSON where asked."""
    options = parse(arguments)
    devices.use_cores(32)
    devices.prepare()
    try:
        sets = load(options)
    except (UserError, OSError) as error:
        print(f"scores.py: {error}", file=sys.stderr)
        sys.exit(2)
    some = list(next(iter(sets.values())).values())
    kind = jax.devices()[0].device_kind
    figures: dict[str, Any] = {"devices": f"{jax.device_count()} x {kind}"}
    print(f"devices: {figures['devices']}; pairs: {sum(map(len, sets.values()))}")
    for title, rows in (
        ("accuracy", accuracy(sets)),
        ("steps of PESQ", pesq_steps.compare(sets)),
        ("invariance", invariance(some)),
        ("speed", speed(some, options.batch_sizes, options.seconds, options.repeats)),
    ):
        figures[title] = list(rows)
        print(f"\n{title}\n{table(figures[title])}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--speech", type=Path, help="folder of clean speech to be mixed")
    parser.add_argument("--noise", type=Path, help="folder of noise to mix it with")
    parser.add_argument("--mixtures", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--workdir", type=Path, help="of a run that has trained a generator")
    parser.add_argument("--pairs", type=int, default=1000, help="most of a folder (default 1000)")
    parser.add_argument("--batch_sizes", type=whole_numbers, default=(1, 8, 32), help="for speed")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a pair, for speed")
    parser.add_argument("--repeats", type=int, default=15, help="timings; their median counts")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options = parser.parse_args(arguments)
    if bool(options.speech) != bool(options.noise):
        parser.error("--speech and --noise: give both or neither")
    return options


def whole_numbers(text: str) -> tuple[int, ...]:
    """Of a list with commas."""
    return tuple(int(number) for number in text.split(","))


def load(options: argparse.Namespace) -> Sets:
    """The pairs to compare, float32 [n] with full scale 1 at 16 kHz."""
    sets: Sets = {}
    for folder in options.data:
        corpus, problems = read_pairs(folder)
        sets[folder.resolve().name] = in_floats(corpus, options.pairs)
        for problem in problems:
            print(f"left out: {problem}", file=sys.stderr)
    if options.speech:
        sets |= mixtures(options.speech, options.noise, options.mixtures)
    if not sets:
        sets["demo"] = in_floats(demo.open_set("valid", min(options.pairs, 64), seed=0), 64)
    if options.workdir:
        sets |= enhanced(options.workdir, sets)
    return sets


def in_floats(corpus: PairCorpus, count: int) -> dict[str, Pair]:
    """Up to so many pairs of a corpus."""
    return {
        corpus.names[i]: (audio.to_float(corpus.clean(i)), audio.to_float(corpus.noisy(i)))
        for i in range(min(count, len(corpus)))
    }


def mixtures(speech: Path, noise: Path, count: int) -> Sets:
    """A set for each ratio, `count` mixtures in all or a few more."""
    words = read_folder(existing_folder("speech", speech), lambda wave: "")
    sounds = read_folder(existing_folder("noise", noise), reason_noise_unusable)
    each = -(-count // len(SNRS_DB))
    return {
        f"mixed at {snr} dB": in_floats(
            MixCorpus(words.files, words.waves, sounds.waves, (snr,)).fixed(seed, each), each
        )
        for seed, snr in enumerate(SNRS_DB)
    }


def enhanced(workdir: Path, sets: Sets) -> Sets:
    """What a trained generator makes of the sets' noisy sides."""
    generator = enhancer.load(workdir)
    made: Sets = {}
    for title, pairs in sets.items():
        waves = generator.each((name, noisy) for name, (_, noisy) in pairs.items())
        made[f"{title}, enhanced"] = {name: (pairs[name][0], wave) for name, wave in waves}
    return made


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


def accuracy(sets: Sets) -> Iterator[Row]:
    """One row a score, set and delay: how far device and host differ, and where too far."""
    half = SAMPLE_RATE // 2
    titles = np.array([title for title, pairs in sets.items() for _ in pairs])
    names = np.array([name for pairs in sets.values() for name in pairs])
    whole = [pair for pairs in sets.values() for pair in pairs.values()]
    for score, rate in [*((name, SAMPLE_RATE) for name in TOLERANCE), ("pesq_nb", half)]:
        pairs = whole if rate == SAMPLE_RATE else [halved(*pair) for pair in whole]
        host, found = both(score, rate, pairs)
        delay = package_delays(score, rate, pairs)
        for title in sets:
            for group in sorted(set(delay[titles == title])):
                rows = np.flatnonzero((titles == title) & (delay == group))
                common = {"set": title, "score": score, "rate": rate, "package's delay": group}
                compared = agreement(host[rows], found[rows], TOLERANCE[score])
                listed = [
                    f"{names[row]}: host {host[row]:.3f}, device {found[row]:.3f}"
                    for row in rows
                    if abs(found[row] - host[row]) > TOLERANCE[score]
                ]
                yield common | compared | {"pairs beyond": listed}


def package_delays(score: str, rate: int, pairs: Sequence[Pair]) -> np.ndarray:
    """ "0" or "not 0" for each pair, as the package finds it; "?" where that is not known."""
    if not score.startswith("pesq_"):
        return np.array(["0"] * len(pairs))
    try:
        delays = pesq_delays.largest(pairs, score.removeprefix("pesq_"), rate)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the package's delays are not known: {error}", file=sys.stderr)
        delays = [None] * len(pairs)
    return np.array(["?" if delay is None else "not 0" if delay else "0" for delay in delays])


def both(score: str, rate: int, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(host's scores [n], the device's), all batches of one shape: one program is compiled."""
    host = np.array([jaxgan.scores.get(score)(*pair, rate) for pair in pairs])
    scored = [
        np.asarray(getattr(device, score)(*batch, rate)) for batch in batches(pairs, TOGETHER, rate)
    ]
    return host, np.concatenate([*scored, np.empty(0)])[: len(pairs)]


def halved(reference: np.ndarray, estimate: np.ndarray) -> Pair:
    """A pair at 8 kHz."""
    first, second = (
        soxr.resample(side, SAMPLE_RATE, SAMPLE_RATE // 2) for side in (reference, estimate)
    )
    return first, second


def agreement(host: np.ndarray, scores: np.ndarray, tolerance: float) -> Row:
    """How far two columns of scores differ."""
    difference = np.abs(scores - host)
    finite = difference[~np.isnan(difference)]
    within = finite[finite <= tolerance]
    return {
        "pairs": len(host),
        "no score": int(np.isnan(host).sum()),
        "only one has": int((np.isnan(host) != np.isnan(scores)).sum()),
        "median": float(np.median(finite)) if finite.size else 0.0,
        "max": float(finite.max(initial=0.0)),
        "tolerance": tolerance,
        "beyond": len(finite) - len(within),
        "max of others": float(within.max(initial=0.0)),
    }


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
    """One row a score and batch size: time that a pair takes the package, and the device.

    Both are timed in turn, so that what else the machine does hits both. Seconds of all cores
    together (core ms) hardly depend on what else it does; on an accelerator they say nothing.
    """
    cases = (("pesq_wb", False), ("pesq_wb", True), ("pesq_nb", False), ("stoi", False))
    for name, bursts in cases:
        host = jaxgan.scores.get(name)
        # One for each repeat too: the host knows the score of the pair that it scored last.
        pairs = looped(sources, max(*sizes, repeats), seconds, bursts)
        for size in sizes:
            compiled, arrays = on_all_devices(getattr(device, name), pairs[:size])
            jax.block_until_ready(compiled(*arrays))
            times = np.empty((repeats, 2, 2))
            for repeat in range(repeats):
                times[repeat, 0] = timed(host, *pairs[repeat], SAMPLE_RATE)
                times[repeat, 1] = timed(compiled, *arrays) / size
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
                "times less": host_core_ms / core_ms,
                "working MB/device": memory.temp_size_in_bytes / 1e6,
                "input MB/device": memory.argument_size_in_bytes / 1e6,
            }


def timed(function: Callable[..., object], *arguments: object) -> np.ndarray:
    """Seconds that a call takes: by the clock, and of this process's threads together."""
    begin = time.perf_counter(), time.process_time()
    jax.block_until_ready(function(*arguments))
    return np.array([time.perf_counter(), time.process_time()]) - begin


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
        single = [
            (*(side[i : i + 1, : lengths[i]] for side in batch[:2]), lengths[i : i + 1])
            for i in range(4)
        ]
        alone = np.concatenate([score(*pair) for pair in single])
        with jax.disable_jit():
            eager = np.asarray(score(*single[0]))
        spread = jax.jit(sharded(score, mesh))(*devices.put_sharded(batch, mesh))
        changes = {
            "alone, unpadded": alone - together[:4],
            "not compiled": eager - together[:1],
            "padded by 1 s": score(*longer, lengths) - together,
            f"{mesh.size} devices": spread - together,
        }
        yield {
            "score": name,
            **{way: float(np.nanmax(np.abs(change))) for way, change in changes.items()},
        }


def table(rows: Sequence[Row]) -> str:
    """Rows as text in columns; lists follow below, one line an entry."""
    if not rows:
        return "none"
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
                text.append(
                    f"{row['set']}, {row['score']} at {row['rate']} Hz, {head} (host, device):"
                )
                text.extend(f"  {entry}" for entry in value)
    return "\n".join(text)


def shown(value: Any) -> str:
    """A cell: floats to three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
