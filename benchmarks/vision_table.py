"""Measures what trained audio-visual enhancers gain from the video.

    python benchmarks/vision_table.py RUN [RUN ...] [--count=100] [--json=FILE]

Each RUN is the folder of a run of configs/avse.py. Its best checkpoint separates `--count` mixtures
of the set `test`, whose voices and sentences occur neither in training nor in validation, with the
right video, without video, and with the video of the other talker. The table has means over
mixtures with 95 % bootstrap intervals; that of the gain is of the paired differences:

    gain             SI-SDR with the right video minus that without video, in dB
    to the other     SI-SDR with the other talker's video, relative to the other talker; high if the
                     network keeps the talker it sees
"""

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.players import load_players
from jaxgan.reporting.statistics import bootstrap
from jaxgan.reporting.tables import Cell, Table, to_markdown
from jaxgan.scores import get
from jaxgan.speech.data import talking
from jaxgan.speech.data.batching import Loader
from jaxgan.speech.data.corpus import PairCorpus, choose_buckets
from jaxgan.speech.evaluation.videos import NONE, OTHER, RIGHT, enhance, place_videos
from jaxgan.speech.networks.audiovisual import AudioVisual, make_audiovisual

RATE = 16000
ROWS = 10
NAMES = {
    "SI-SDR, mixture": 2,
    "SI-SDR, right video": 2,
    "SI-SDR, no video": 2,
    "gain": 2,
    "SI-SDR, other video": 2,
    "to the other": 2,
    "STOI, mixture": 3,
    "STOI, right video": 3,
    "STOI, no video": 3,
}
"""The columns, with their digits after the point."""


def open_test_set(workdir: Path, count: int) -> PairCorpus:
    """Returns mixtures like those that a run has learned from, of other talkers."""
    data = configs.read(workdir).data
    corpus = talking.open_set("test", count, data.seed, data.snrs, data.talking.noise_snrs)
    return dataclasses.replace(corpus, bucket_lengths=choose_buckets(corpus.lengths, 1))


def separate_all(
    network: AudioVisual, params: object, corpus: PairCorpus
) -> dict[str, list[np.ndarray]]:
    """Returns what the network makes of each mixture: int16 [n], by "right", "no" and "other"."""
    mesh = devices.make_mesh(1)
    videos = place_videos(corpus, mesh)
    run = jax.jit(functools.partial(enhance, network=network))
    places = {"right": RIGHT, "no": NONE, "other": OTHER}
    found: dict[str, list[tuple[int, np.ndarray]]] = {name: [] for name in places}
    options: dict[str, Any] = {"count": len(corpus), "batch_size": ROWS, "seed": 0, "mesh": mesh}
    with Loader(corpus, **options, resident_megabytes=4096) as loader:
        for batch, rows in loader.all():
            for name, waves in found.items():
                made = run((params, videos, np.int32(places[name])), batch)
                filled = zip(np.asarray(made), rows.lengths, np.asarray(batch.index), strict=True)
                waves += [(index, wave[:length]) for wave, length, index in filled if length]
    return {
        name: [wave for _, wave in sorted(waves, key=lambda pair: pair[0])]
        for name, waves in found.items()
    }


def measure(workdir: Path, count: int) -> dict[str, np.ndarray]:
    """Returns the columns of a run, float64 [count] each."""
    corpus = open_test_set(workdir, count)
    network = make_audiovisual(configs.read(workdir))
    params = load_players(workdir, "best")["generator"].deployed
    made = separate_all(network, params, corpus)
    clean = [corpus.clean(number) for number in range(count)]
    mixture = [corpus.noisy(number) for number in range(count)]
    rest = [noisy - one for noisy, one in zip(mixture, clean, strict=True)]

    def score(
        name: str, references: Sequence[np.ndarray], estimates: Sequence[np.ndarray]
    ) -> np.ndarray:
        pairs = zip(references, estimates, strict=True)
        return np.array([get(name)(one / 32768, it / 32768, RATE) for one, it in pairs])

    found = {
        "SI-SDR, mixture": score("si_sdr", clean, mixture),
        "SI-SDR, right video": score("si_sdr", clean, made["right"]),
        "SI-SDR, no video": score("si_sdr", clean, made["no"]),
        "SI-SDR, other video": score("si_sdr", clean, made["other"]),
        "to the other": score("si_sdr", rest, made["other"]),
        "STOI, mixture": score("stoi", clean, mixture),
        "STOI, right video": score("stoi", clean, made["right"]),
        "STOI, no video": score("stoi", clean, made["no"]),
    }
    found["gain"] = found["SI-SDR, right video"] - found["SI-SDR, no video"]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    body: list[list[Cell]] = []
    results: dict[str, dict[str, list[float]]] = {}
    for workdir in options.runs:
        found = measure(workdir, options.count)
        cells, results[str(workdir)] = [Cell(workdir.name)], {}
        for name, digits in NAMES.items():
            mean = bootstrap(found[name][np.isfinite(found[name])])
            text = f"{mean.mean:.{digits}f} ({mean.low:.{digits}f} to {mean.high:.{digits}f})"
            cells.append(Cell(text))
            results[str(workdir)][name] = [mean.mean, mean.low, mean.high]
        body.append(cells)
    print(to_markdown(Table(["run", *NAMES], body, f"{options.count} mixtures")))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
