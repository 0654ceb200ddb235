"""What is wrong with a file, what is done about it, and the one report that says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.speech.data.audio import FULL_SCALE, SAMPLE_RATE

HOP = 256
"""Samples between two STFT frames."""
SHORTEST_SECONDS = 0.25
"""PESQ refuses anything shorter."""
FEWEST_FRAMES = 29
"""The discriminator's convolutions use up 28 frames."""
SILENT_PEAK = 32
"""int16. A file whose loudest sample is below it (-60 dB of full scale) is silent."""
LEFT_OUT = "left out"
WITH_PARTNER = "left out with its counterpart"
CUT = "both cut to the shorter one"
LISTED_IN_ERROR = 10


@dataclass(frozen=True)
class Problem:
    """One file that is not used as it is."""

    path: str
    what: str
    action: str = LEFT_OUT

    def __str__(self) -> str:
        """One line."""
        return f"{self.path}: {self.what}; {self.action}"


def frames(samples: int) -> int:
    """Frames of the centred STFT of that many samples, the last hop padded to its end."""
    return -(-samples // HOP) + 1


def fault(samples: np.ndarray, longest_seconds: float = np.inf) -> str:
    """Why an utterance (int16 [n] at 16000 Hz) cannot be trained on, or ""."""
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        return f"{seconds:.3f} s is too short for PESQ, which needs {SHORTEST_SECONDS} s"
    if frames(len(samples)) < FEWEST_FRAMES:
        return (
            f"{seconds:.3f} s is too short for the discriminator: "
            f"{frames(len(samples))} frames, it needs {FEWEST_FRAMES}"
        )
    if seconds > longest_seconds:
        return f"{seconds:.1f} s is longer than config.data.longest_seconds={longest_seconds:g}"
    return silence(samples)


def silence(samples: np.ndarray) -> str:
    """Says that a wave (int16 [n]) is silent, or "" if it is not."""
    # int16 has no +32768: the magnitude is taken from both ends instead of np.abs.
    peak = max(int(samples.max(initial=0)), -int(samples.min(initial=0)))
    if peak == 0:
        return "silent: every sample is 0"
    if peak < SILENT_PEAK:
        return f"silent: its peak is {20 * np.log10(peak / FULL_SCALE):.0f} dB of full scale"
    return ""


@dataclass(frozen=True)
class Report:
    """What was found in a corpus before training.

    Attributes:
        summary: one line for each set: what it is, how many utterances, how long.
        problems: every file that is not used as it is, in the order of reading.
    """

    summary: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        """A line for each set and for each problem."""
        lines = list(self.summary)
        if self.problems:
            lines.append(f"{_files(len(self.problems))} not used as found:")
            lines.extend(f"  {problem}" for problem in self.problems)
        return "\n".join(lines)


def refuse(problems: Sequence[Problem]) -> None:
    """Raises UserError if there is any problem: what config.data.strict asks for."""
    if not problems:
        return
    named = "; ".join(f"{problem.path}: {problem.what}" for problem in problems[:LISTED_IN_ERROR])
    more = len(problems) - LISTED_IN_ERROR
    rest = f"; and {more} more, named in the report above" if more > 0 else ""
    raise UserError(
        f"config.data.strict=True refuses {_files(len(problems))}: {named}{rest}. "
        "Mend or remove them, or set config.data.strict=False to leave them out"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
