"""Spectrograms of an evaluation's examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from jaxgan.reporting import figures
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.evaluation.validation import COLOUR_MAP, DYNAMIC_RANGE, spectrogram_image
from jaxgan.speech.networks.stft import FrontEnd

LONGEST_SECONDS = 10
"""How much of an utterance is drawn; a longer spectrogram would be unreadable."""


LABELS = {
    "pesq_wb": "Wide-band PESQ (MOS-LQO)",
    "pesq_nb": "Narrow-band PESQ (MOS-LQO)",
    "stoi": "STOI",
    "estoi": "Extended STOI",
    "csig": "CSIG (predicted MOS)",
    "cbak": "CBAK (predicted MOS)",
    "covl": "COVL (predicted MOS)",
    "ssnr": "Segmental SNR (dB)",
    "si_sdr": "SI-SDR (dB)",
    "fwsegsnr": "Frequency-weighted segmental SNR (dB)",
    "lsd": "Log-spectral distance (dB, lower is better)",
    "llr": "Log-likelihood ratio (lower is better)",
    "wss": "Weighted spectral slope (lower is better)",
    "dnsmos_sig": "DNSMOS speech (MOS)",
    "dnsmos_bak": "DNSMOS background (MOS)",
    "dnsmos_ovr": "DNSMOS overall (MOS)",
    "dnsmos_p808": "DNSMOS P.808 (MOS)",
    "words": "Rating of a description in words (1 to 5)",
}
"""The built-in scores as figures name them, with their units."""


@dataclass(frozen=True, eq=False)
class Example:
    """One utterance to show: a title, and its three sides, int16 [n] at 16000 Hz."""

    title: str
    clean: np.ndarray
    noisy: np.ndarray
    enhanced: np.ndarray


def draw_spectrograms(examples: Sequence[Example], front_end: FrontEnd, path: Path) -> None:
    """Writes an image with a column for each example: clean, noisy and enhanced from the top.

    A PDF is written next to the PNG of `path`.
    """
    figure = Figure(figsize=(1 + 4 * len(examples), 7), layout="constrained")
    grid = figure.subplots(3, len(examples), squeeze=False)
    for column, example in enumerate(examples):
        for row, side in enumerate(("clean", "noisy", "enhanced")):
            pixels, seconds = spectrogram(getattr(example, side), front_end, LONGEST_SECONDS)
            axes = grid[row, column]
            axes.imshow(pixels, extent=(0, seconds, 0, SAMPLE_RATE / 2000), aspect="auto")
            if column == 0:
                axes.set_ylabel(f"{side}\nFrequency (kHz)")
            axes.tick_params(labelbottom=row == 2)
        # A file name may hold "$", which must not start a formula.
        grid[0, column].set_title(example.title, fontsize="medium", parse_math=False)
        grid[2, column].set_xlabel("Time (s)")
    levels = ScalarMappable(Normalize(-DYNAMIC_RANGE, 0), COLOUR_MAP)
    figure.colorbar(levels, ax=grid, label="Level (dB relative to a full-scale sine)")
    figures.save(figure, path)


def spectrogram(
    samples: np.ndarray, front_end: FrontEnd, longest_seconds: float
) -> tuple[np.ndarray, float]:
    """Returns an image, uint8 [bins, frames, 3], and the seconds that it covers.

    Args:
        samples: int16 [n]; fewer than a window are padded with zeros.
        front_end: window and hop.
        longest_seconds: where the samples are cut off.
    """
    cut = samples[: int(longest_seconds * SAMPLE_RATE)]
    padded = np.pad(cut, (0, max(0, front_end.window - len(cut))))
    return spectrogram_image(padded, front_end), len(padded) / SAMPLE_RATE
