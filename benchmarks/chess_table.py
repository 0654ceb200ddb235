"""Compares the chess style GAN with its evaluator without style, and D with a linear classifier.

    python benchmarks/chess_table.py --games=FOLDER --player="Tal, Mihail" [--other=NAME]
        [--seeds=3] [--workdir=runs/chess] [--config.key=value ...]

For every seed it trains configs/chess_style.py:quick and :nostyle on the PGN files of the folder,
and runs eval.py. train.py makes the runs one after the other; the same command continues after an
interruption. It prints, for the test games, the measures of docs/chess.md as a mean and the 95 %
interval over seeds; and for D and a linear classifier the area under the ROC curve and the balanced
accuracy for whole games.

The linear classifier is logistic regression on the counts of the moves of one side in a game (piece
and square, White's and Black's apart) and of pairs of successive ones, both classes with the same
weight. It learns from the same games as D; the validation games choose its regularisation.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from trained_runs import ROOT, train

from jaxgan.control.chess.dataset import TEST, TRAIN, VALID, Dataset, open_dataset
from jaxgan.control.chess.measures import auc
from jaxgan.control.chess.positions import CASTLING_ROOK, ROOK
from jaxgan.core import config as configs
from jaxgan.reporting.statistics import mean_and_half_width

CONFIG = "chess_style.py"
STRENGTHS = (0.003, 0.01, 0.03, 0.1)
"""Weights of the linear classifier's data term relative to its squared weights. The validation
games choose one."""

Counts = tuple[csr_matrix, np.ndarray]
"""Counts of moves and pairs of moves [sides, words], and whether a side is the player's [sides]."""


def count_moves(dataset: Dataset) -> dict[str, Counts]:
    """Returns the counts of each part; only moves and pairs of the training part count."""
    games, vocabulary, found = dataset.games, dict[tuple[int, ...], int](), {}
    for part in (TRAIN, VALID, TEST):
        moves = dataset.parts[part]
        codes = games.legal[games.starts[moves.rows] + games.played[moves.rows]].astype(int)
        pieces = games.squares[moves.rows, codes % 64].astype(int)
        pieces[pieces == CASTLING_ROOK] = ROOK
        side = (moves.rows - games.first[moves.games]) % 2
        names = (side * 7 + pieces) * 64 + codes // 64 % 64
        _, first, place = np.unique(moves.games * 2 + side, return_index=True, return_inverse=True)
        entries, last = list[tuple[int, int]](), dict[int, int]()
        for row, name in zip(place.tolist(), names.tolist(), strict=True):
            for word in ((name,), (last.get(row, -1), name)):
                if part == TRAIN:
                    vocabulary.setdefault(word, len(vocabulary))
                if word in vocabulary:
                    entries.append((row, vocabulary[word]))
            last[row] = name
        rows, columns = np.array(entries).T
        shape = (len(first), len(vocabulary))
        found[part] = csr_matrix((np.ones(len(rows)), (rows, columns)), shape), moves.own[first]
    return found


def fit(counts: Counts, strength: float) -> np.ndarray:
    """Returns the weights and, at the end, the bias of a logistic regression."""
    inputs, own = counts
    sign = np.where(own, 1.0, -1.0)
    weights = strength / 2 / np.where(own, own.mean(), 1 - own.mean())

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (inputs @ point[:-1] + point[-1])
        value = (weights * np.logaddexp(0, -margin)).sum() + point[:-1] @ point[:-1] / 2
        slope = -weights * sign / (1 + np.exp(margin))
        return value, np.append(inputs.T @ slope + point[:-1], slope.sum())

    start = np.zeros(inputs.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return np.asarray(found.x)


def balanced_accuracy(scores: np.ndarray, own: np.ndarray) -> float:
    """Returns the mean over both classes of the share of games on their side of 0."""
    return float(((scores[own] > 0).mean() + (scores[~own] <= 0).mean()) / 2)


def linear(dataset: Dataset) -> tuple[float, float]:
    """Returns the area and the balanced accuracy of the linear classifier on the test games."""
    counts = count_moves(dataset)

    def scores(point: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
        inputs, own = counts[part]
        return inputs @ point[:-1] + point[-1], own

    points = [fit(counts[TRAIN], strength) for strength in STRENGTHS]
    best = max(points, key=lambda point: auc(*scores(point, VALID)))
    return auc(*scores(best, TEST)), balanced_accuracy(*scores(best, TEST))


def evaluate(workdir: Path) -> dict[str, float]:
    """Returns the summary of eval.py, and the balanced accuracy over games."""
    command = [sys.executable, str(ROOT / "eval.py"), f"--workdir={workdir}"]
    if not (workdir / "eval" / "summary.json").exists():
        subprocess.run(command, check=True)
    summary: dict[str, float] = json.loads((workdir / "eval" / "summary.json").read_text())
    with (workdir / "eval" / "games.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = np.array([float(row["style"]) for row in rows])
    own = np.array([float(row["own"]) > 0 for row in rows])
    return summary | {"style_accuracy_games": balanced_accuracy(scores, own)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", required=True, help="a folder of PGN files")
    parser.add_argument("--player", required=True)
    parser.add_argument("--other", default="", help="default: everybody else")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/chess"))
    options, overrides = parser.parse_known_args(arguments)
    data = {
        "data.kind": "pgn",
        "data.root": options.games,
        "data.player": options.player,
        "data.other": options.other,
    }
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for preset in ("quick", "nostyle"):
            workdir = options.workdir / f"{preset}{seed}"
            train(f"{CONFIG}:{preset}", {"seed": seed, **data}, overrides, workdir)
            found.setdefault(preset, []).append(evaluate(workdir))
    names = [name for name in found["quick"][0] if name != "count"]
    print("| measure | with style | without |\n| --- | --- | --- |")
    for name in names:
        cells = []
        for preset in ("quick", "nostyle"):
            mean, half = mean_and_half_width(np.array([each[name] for each in found[preset]]))
            cells.append(f"{mean:.4f} ± {half:.4f}")
        print(f"| {name} | {' | '.join(cells)} |")
    flags = [f"--config.{key}={value}" for key, value in data.items()]
    config = configs.load(str(ROOT / "configs" / f"{CONFIG}:quick"), flags)
    area, accuracy = linear(open_dataset(config))
    print(f"linear classifier, games: AUC {area:.4f}, balanced accuracy {accuracy:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
