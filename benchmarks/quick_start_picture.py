"""Draws docs/quick-start.png from a run of the quick start.

    python train.py --config=configs/metricgan.py:quick
    python benchmarks/quick_start_picture.py runs/metricgan-quick

It shows validation PESQ over the rounds, and the spectrograms of the utterance of the demo corpus's
test set whose gain in PESQ is the median.
"""

import argparse
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import jaxgan
import jaxgan.scores
from jaxgan.core import config as configs
from jaxgan.core import log
from jaxgan.speech.data import demo
from jaxgan.speech.data.audio import SAMPLE_RATE

PICTURE = Path(__file__).parents[1] / "docs" / "quick-start.png"
UTTERANCES = 40  # of the test set
COLOURS = 48  # keep the file small


def median_gain(workdir: str) -> dict[str, np.ndarray]:
    """Returns the noisy and the enhanced speech of the utterance of the median gain, by title."""
    enhancer, pesq = jaxgan.load(workdir), jaxgan.scores.get("pesq_wb")
    corpus = demo.open_set("test", UTTERANCES, configs.read(workdir).data.seed)
    pairs, found = [], []
    for index in range(len(corpus)):
        clean, noisy = corpus.clean(index), corpus.noisy(index)
        pairs.append((noisy, enhancer(noisy, SAMPLE_RATE)))
        found.append([pesq(clean, wave, SAMPLE_RATE) for wave in pairs[-1]])
    gains = np.diff(found)[:, 0]
    middle = int(np.argsort(gains)[len(gains) // 2])
    names = zip(("noisy", "enhanced"), found[middle], strict=True)
    titles = [f"{name}, PESQ {value:.2f}" for name, value in names]
    return dict(zip(titles, pairs[middle], strict=True))


def draw(workdir: str) -> None:
    """Writes the picture."""
    rows = [row for row in log.read(workdir) if "valid/pesq_wb" in row]
    rounds = [row["round"] for row in rows]
    config = configs.read(workdir)
    matplotlib.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, (left, *right) = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    left.axvspan(0, config.warmup_rounds, color="0.92", lw=0)
    left.text(config.warmup_rounds / 2, 1.36, "supervised", ha="center", color="0.4")
    left.axhline(rows[0]["valid/pesq_wb_noisy"], color="0.4", ls=":")
    left.text(rounds[-1], rows[0]["valid/pesq_wb_noisy"] + 0.01, "noisy", ha="right", color="0.4")
    left.plot(rounds, [row["valid/pesq_wb"] for row in rows], "o-", ms=3)
    left.set(xlabel="round", title="PESQ of held-out speech", xlim=(0, rounds[-1] + 0.5))
    for axis, (title, wave) in zip(right, median_gain(workdir).items(), strict=True):
        seconds = wave[: 3 * SAMPLE_RATE] / 32768
        axis.specgram(
            seconds, NFFT=512, noverlap=256, Fs=SAMPLE_RATE, vmin=-130, vmax=-50, cmap="magma"
        )
        axis.set(title=title, xlabel="seconds", yticks=[0, 4000, 8000], yticklabels=["0", "4", "8"])
    right[0].set_ylabel("kHz")
    figure.savefig(PICTURE, dpi=100)
    with Image.open(PICTURE) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw.__doc__)
    parser.add_argument("workdir", help="the run's folder")
    draw(parser.parse_args().workdir)
