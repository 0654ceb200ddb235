"""Compares Graves' network with models that have no or a short memory, over several seeds.

    python benchmarks/graves_table.py --text=FILE [--seeds=1] [--workdir=runs/graves]
    python benchmarks/graves_table.py --strokes=FILE.npz [--seeds=3] [--config.key=value ...]

Text: bits per character of the last tenth of the file after training on the rest, with
configs/graves_rnn.py:text, against n-grams with Witten-Bell interpolation of every order (Chen and
Goodman 1999) counted on the same nine tenths; and how the characters of samples are distributed.
The network is that of the last round: no result chooses it.

Handwriting: nats per point of the test sequences of the file, with configs/graves_rnn.py:strokes,
against one bivariate Gaussian, and against a mixture of as many as the network has, fitted by
expectation maximisation (seeds choose its first means). Both have no history, and a constant
probability of lifting the pen. Offsets are in standard deviations of those learned from.

train.py makes the runs one after the other; the same command continues after an interruption. It
prints tables for docs/graves_rnn.md, with the mean over seeds, the 95 % interval, and the CPU time
that the training took in this call.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sequence_table import interval
from trained_runs import ROOT, train

from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.sequences.data.stream_corpora import Streams, open_streams
from jaxgan.sequences.data.streams import Item

CONFIG = "graves_rnn.py"
ORDERS = range(1, 8)
"""The lengths of the n-grams, in characters, the predicted one included."""
ITERATIONS = 60
"""The iterations of expectation maximisation."""
MOST_FITTED = 30_000
"""The most offsets, drawn at random, that a mixture of several Gaussians is fitted to."""
SMALLEST_VARIANCE = 1e-4
"""Added to the variances of each component, so that none can shrink to a point."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", help="a text file")
    parser.add_argument("--strokes", help="an .npz file of handwriting")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/graves"))
    options, overrides = parser.parse_known_args(arguments)
    if options.text:
        print(of_text(options.text, options.seeds, options.workdir / "text", overrides))
    if options.strokes:
        print(of_strokes(options.strokes, options.seeds, options.workdir / "strokes", overrides))
    return 0


def of_text(path: str, seeds: int, workdir: Path, overrides: Sequence[str]) -> str:
    """Returns the table of a text."""
    runs = [run("text", path, seed, workdir, overrides, "last") for seed in range(seeds)]
    learned = [log.read(folder)[-1]["train/bits_per_character"] for folder, _, _ in runs]
    found = [summary for _, summary, _ in runs]
    corpus = open_streams(configs.read(runs[0][0]))
    bits = ngram_bits(corpus)
    lines = [
        "| model | bits per character, learned | held out | total variation | CPU s |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {order}-gram | | {value:.3f} | | |" for order, value in bits.items()]
    cells = [
        interval(learned),
        interval([summary["bits_per_character"] for summary in found]),
        interval([summary["total_variation"] for summary in found]),
        interval([seconds for _, _, seconds in runs]),
    ]
    return "\n".join([*lines, f"| network, {seeds} seeds | " + " | ".join(cells) + " |"])


def of_strokes(path: str, seeds: int, workdir: Path, overrides: Sequence[str]) -> str:
    """Returns the table of a file of handwriting."""
    runs = [run("strokes", path, seed, workdir, overrides, "best") for seed in range(seeds)]
    config = configs.read(runs[0][0])
    corpus = open_streams(config)
    learned_points, test_points = points(corpus.epochs(0)), points(corpus.test)
    pen = bernoulli_nll(learned_points[:, 2].mean(), test_points[:, 2])
    learned, tested = learned_points[:, :2], test_points[:, :2]
    mixtures = [
        pen - mixture_density(*fit(learned, config.components, seed), tested).mean()
        for seed in range(seeds)
    ]
    one = pen - mixture_density(*fit(learned, 1, 0), tested).mean()
    lines = ["| model | nats per point, test | CPU s |", "|---|---|---|"]
    lines.append(f"| one Gaussian | {one:.3f} | |")
    lines.append(f"| {config.components} Gaussians, no history | {interval(mixtures)} | |")
    cells = [
        interval([summary["nll"] for _, summary, _ in runs]),
        interval([seconds for _, _, seconds in runs]),
    ]
    return "\n".join([*lines, f"| network, {seeds} seeds | " + " | ".join(cells) + " |"])


def run(
    preset: str, path: str, seed: int, workdir: Path, overrides: Sequence[str], checkpoint: str
) -> tuple[Path, dict[str, float], float]:
    """Trains and evaluates one seed; returns its folder, its summary and the CPU seconds."""
    folder, before = workdir / f"seed{seed}", cpu_seconds()
    train(f"{CONFIG}:{preset}", {"seed": seed, "data.root": path}, overrides, folder)
    seconds = cpu_seconds() - before
    command = [sys.executable, str(ROOT / "eval.py"), f"--workdir={folder}"]
    subprocess.run([*command, f"--checkpoint={checkpoint}"], check=True)
    return folder, json.loads((folder / "eval" / "summary.json").read_text()), seconds


def cpu_seconds() -> float:
    """Returns the CPU time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ngram_bits(corpus: Streams) -> dict[int, float]:
    """Returns the bits per held-out character of n-grams by their order.

    Orders whose n-grams have no number in an int64 are left out.

    The probability of a character after a context h is (count(h c) + kinds(h) p(c after h without
    its first character)) / (count(h) + kinds(h)), where kinds(h) is how many different characters
    have followed h (Witten and Bell 1991).
    """
    size = len(corpus.vocabulary.tokens)
    tokens = joined(corpus.epochs(0)).astype(np.int64)
    held_out = joined(corpus.valid).astype(np.int64)
    orders = [order for order in ORDERS if size**order < 2**63]  # `codes` are int64
    longest = max(orders)
    learned, asked = codes(tokens, size, longest), codes(held_out, size, longest)
    probability = np.full(len(held_out) - longest + 1, 1 / size)
    found: dict[int, float] = {}
    for order in orders:
        grams, counts = np.unique(learned[order], return_counts=True)
        contexts, places, kinds = np.unique(grams // size, return_inverse=True, return_counts=True)
        totals = np.bincount(places, counts)
        count = lookup(grams, counts, asked[order])
        of_context = asked[order] // size
        kind, total = lookup(contexts, kinds, of_context), lookup(contexts, totals, of_context)
        known = total + kind
        seen = (count + kind * probability) / np.maximum(known, 1)
        probability = np.where(known > 0, seen, probability)
        found[order] = float(-np.log2(probability).mean())
    return found


def codes(tokens: np.ndarray, size: int, longest: int) -> dict[int, np.ndarray]:
    """Returns each n-gram as a number; all orders end at the same characters."""
    found, code = {}, np.zeros(len(tokens) - longest + 1, np.int64)
    for order in range(1, longest + 1):
        start = longest - order
        code = code + tokens[start : start + len(code)] * size ** (order - 1)
        found[order] = code
    return found


def lookup(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the values of wanted keys, 0 for those that are not there; keys are sorted."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


def joined(items: Sequence[Item]) -> np.ndarray:
    """Returns a text that was split into rows."""
    return np.concatenate([items[0].values[:1], *(item.values[1:] for item in items)])


def points(items: Sequence[Item]) -> np.ndarray:
    """Returns all points that are predicted, float64 [n, 3]."""
    return np.concatenate([item.values[1:] for item in items]).astype(np.float64)


def bernoulli_nll(share: float, lifted: np.ndarray) -> float:
    """Returns the mean -log p of 0 and 1 under a constant probability of 1."""
    ones = float(lifted.mean())
    return float(-ones * np.log(share) - (1 - ones) * np.log(1 - share))


Mixture = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Weights [K], means [K, 2] and covariances [K, 2, 2]."""


def fit(offsets: np.ndarray, components: int, seed: int) -> Mixture:
    """Returns a mixture of Gaussians fitted to offsets [n, 2] by expectation maximisation."""
    random = np.random.default_rng(seed)
    if components > 1 and len(offsets) > MOST_FITTED:
        offsets = offsets[random.choice(len(offsets), MOST_FITTED, replace=False)]
    means = offsets[random.choice(len(offsets), components, replace=False)]
    covariances = np.repeat(np.cov(offsets.T)[None], components, axis=0)
    weights = np.full(components, 1 / components)
    for _ in range(ITERATIONS if components > 1 else 1):
        joint = log_joint(weights, means, covariances, offsets)
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        totals = shares.sum(axis=0) + 1e-9
        weights, means = totals / totals.sum(), shares.T @ offsets / totals[:, None]
        for k in range(components):
            centred = offsets - means[k]
            covariances[k] = (shares[:, k, None] * centred).T @ centred / totals[k]
            covariances[k] += SMALLEST_VARIANCE * np.eye(2)
    return weights, means, covariances


def log_joint(
    weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Returns the log of each weight times the density of its Gaussian, [n, K]."""
    found = np.empty((len(offsets), len(weights)))
    for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), (offsets - mean).T)
        half = 0.5 * np.log(np.linalg.det(covariance))
        found[:, k] = np.log(weight) - np.log(2 * np.pi) - half - 0.5 * (whitened**2).sum(axis=0)
    return found


def mixture_density(
    weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Returns the log density of offsets [n, 2], [n]."""
    return np.logaddexp.reduce(log_joint(weights, means, covariances, offsets), axis=1)


if __name__ == "__main__":
    sys.exit(main())
