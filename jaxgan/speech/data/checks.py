"""Finds audio that cannot be trained on, and reports it before training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from etils import epath

from jaxgan.core.data_files import Problem, describe, list_of
from jaxgan.core.files import write_report
from jaxgan.speech.data.audio import FULL_SCALE, SAMPLE_RATE, reason_too_long

HOP = 256
"""Samples between the starts of two STFT frames."""
SHORTEST_SECONDS = 0.25
"""PESQ rejects shorter utterances."""
FEWEST_FRAMES = 29
"""The discriminator's convolutions consume 28 frames."""
SILENT_PEAK = 32
"""A file counts as silent if its loudest int16 sample is below this (-60 dB of full scale)."""
PAIR_SKIPPED = "skipped with its counterpart"
TRIMMED = "both trimmed to the shorter length"


def frame_count(samples: int) -> int:
    """Returns the number of frames in the centred STFT of a signal padded to whole hops."""
    return -(-samples // HOP) + 1


def reason_unusable(samples: np.ndarray, longest_seconds: float = np.inf) -> str:
    """Returns why an utterance (int16 [n] at 16000 Hz) cannot be trained on, or "" if it can."""
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        return f"{seconds:.3f} s is too short for PESQ, which needs {SHORTEST_SECONDS} s"
    if frame_count(len(samples)) < FEWEST_FRAMES:
        return (
            f"{seconds:.3f} s is too short for the discriminator: "
            f"{frame_count(len(samples))} frames, but it needs {FEWEST_FRAMES}"
        )
    return reason_too_long(seconds, longest_seconds) or reason_silent(samples)


def reason_silent(samples: np.ndarray) -> str:
    """Returns in what way a wave (int16 [n]) is silent but for an offset, or "" if it is not."""
    if not samples.any():
        return "silent: every sample is 0"
    # An offset is not sound.
    lowest, highest = int(samples.min()), int(samples.max())
    if lowest == highest:
        return "silent: every sample is the same"
    offset = round(float(samples.mean(dtype=np.float64)))
    peak = max(highest - offset, offset - lowest)
    if peak < SILENT_PEAK:
        return f"silent: its peak is {20 * np.log10(peak / FULL_SCALE):.0f} dB of full scale"
    return ""


@dataclass(frozen=True)
class DataReport:
    """The result of checking a corpus.

    Attributes:
        summary: one line per set with its name, number of utterances and duration.
        problems: every file that cannot be used as it is, in the order of reading.
    """

    summary: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        """Returns one line per set and, under a heading, the problems by their reasons."""
        return "\n".join([*self.summary, *describe(self.problems)])

    def files(self) -> dict[str, bytes]:
        """Returns what `list_of` returns for the problems."""
        return list_of(self.problems)

    def write(self, folder: Path) -> None:
        """Writes `files` to a folder, and removes those of an earlier report that are empty now."""
        for name, content in self.files().items():
            write_report(epath.Path(folder / name), content)
