"""Figures of an evaluation, drawn without a display."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.evaluation.tables import Results
from jaxgan.speech.evaluation.validation import DYNAMIC_RANGE, spectrogram_image
from jaxgan.speech.networks.stft import FrontEnd

DOTS_PER_INCH = 120
LONGEST_SECONDS = 10
"""Of an utterance; more is not drawn, for nothing could be seen in it."""


@dataclass(frozen=True, eq=False)
class Example:
    """One utterance to show: a title, and int16 [n] at 16000 Hz on each side."""

    title: str
    clean: np.ndarray
    noisy: np.ndarray
    enhanced: np.ndarray


def draw_spectrograms(examples: Sequence[Example], front_end: FrontEnd, path: Path) -> None:
    """A column for each example: the clean, the noisy and the enhanced side below each other."""
    figure = Figure(figsize=(5 * len(examples), 7), layout="constrained")
    grid = figure.subplots(3, len(examples), squeeze=False)
    for column, example in enumerate(examples):
        for row, side in enumerate(("clean", "noisy", "enhanced")):
            wave = getattr(example, side)[: LONGEST_SECONDS * SAMPLE_RATE]
            wave = np.pad(wave, (0, max(0, front_end.window - len(wave))))
            axes = grid[row, column]
            axes.imshow(
                spectrogram_image(wave, front_end),
                extent=(0, len(wave) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000),
                aspect="auto",
            )
            if column == 0:
                axes.set_ylabel(f"{side}\nkHz")
            axes.tick_params(labelbottom=row == 2)
        # File names are no formulas, whatever "$" they hold.
        grid[0, column].set_title(example.title, fontsize="medium", parse_math=False)
        grid[2, column].set_xlabel(f"s; black is {DYNAMIC_RANGE:g} dB below a full-scale sine")
    _save(figure, path)


def draw_scatter(results: Results, path: Path) -> None:
    """A panel for each score: every utterance's enhanced score over its noisy score."""
    figure = Figure(figsize=(3.4 * len(results.noisy), 3.6), layout="constrained")
    panels = figure.subplots(1, len(results.noisy), squeeze=False)[0]
    for axes, score in zip(panels, results.noisy, strict=True):
        noisy, enhanced = results.pairs(score)
        axes.scatter(noisy, enhanced, s=10, alpha=0.6)
        if len(noisy):
            ends = [min(noisy.min(), enhanced.min()), max(noisy.max(), enhanced.max())]
            axes.plot(ends, ends, color="grey", linewidth=1)
        axes.set_title(score, parse_math=False)
        axes.set_xlabel("noisy")
        axes.set_box_aspect(1)
    panels[0].set_ylabel("enhanced")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Names may be in scripts that the font lacks: a box in the title is no fault of the run.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        FigureCanvasAgg(figure).print_figure(path, dpi=DOTS_PER_INCH)
