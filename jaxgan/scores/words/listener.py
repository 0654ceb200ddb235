"""Describes a recording of speech in words, from measured properties, as a listener might.

It needs no reference, no network and no download, and its words are the same on every machine.
benchmarks/words_table.py compares its ratings with PESQ and DNSMOS on degraded speech.
"""

import bisect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxgan.scores.words.properties import Properties, measure


class Fault(NamedTuple):
    """A fault that a listener may remark on, by the value of one of the `Properties`.

    Attributes:
        best: the value up to which nobody would notice it.
        worst: the value from which on it is as bad as it can be. It may be below `best`.
        weight: how much of the quality it takes away at its worst, in 0..1.
        remarks: what the listener says from a severity of 1/4, 1/2 and 3/4 on.
        scale: what is applied to the property to give its value.
    """

    best: float
    worst: float
    weight: float
    remarks: tuple[str, str, str]
    scale: Callable[[float], float] = float


def _log2(hertz: float) -> float:
    return float(np.log2(max(hertz, 1.0)))


def _log10(share: float) -> float:
    return float(np.log10(max(share, 1e-5)))


# The limits and the weights of the first seven have the highest rank correlation with PESQ that a
# random search found on degraded training speech; the others, which that speech does not have, are
# plausible values.
FAULTS = {
    "modulation": Fault(
        -0.24,
        -0.45,
        0.73,
        (
            "Noise covers the voice a little.",
            "Noise covers the voice.",
            "Noise covers nearly all of the voice.",
        ),
    ),
    "pause_db": Fault(
        34.0,
        5.0,
        0.39,
        (
            "There is a little noise in the pauses.",
            "There is noise in the pauses.",
            "The pauses are as loud as the voice.",
        ),
    ),
    "contrast_db": Fault(
        50.0, 11.0, 0.66, ("", "The voice is a little hoarse.", "The voice is hoarse.")
    ),
    "bandwidth_hz": Fault(
        12.3,
        8.9,
        0.58,
        (
            "The voice lacks the highest frequencies.",
            "The voice lacks high frequencies, as on a telephone.",
            "The voice is muffled.",
        ),
        _log2,
    ),
    "clipped": Fault(
        -1.3,
        -0.57,
        0.59,
        ("Loud syllables crackle.", "The voice crackles.", "The voice crackles all the time."),
        _log10,
    ),
    "peaks_db": Fault(
        9.4,
        24.0,
        0.52,
        (
            "",
            "Some tones come and go in the background.",
            "Many tones come and go in the background.",
        ),
    ),
    "smoothness": Fault(1.37, 0.86, 0.64, ("", "The sound is rough.", "The sound is very rough.")),
    "decay_db": Fault(
        90.0,
        50.0,
        0.2,
        ("", "The voice sounds as if in a large room.", "The voice echoes."),
    ),
    "level_db": Fault(
        -40.0, -60.0, 0.3, ("", "The voice is faint.", "The voice is hardly audible.")
    ),
    "dropouts": Fault(
        0.3,
        3.0,
        0.5,
        ("The voice breaks off once.", "The voice breaks off.", "The voice breaks off often."),
    ),
}
"""The faults, by the property that shows each of them."""
VERDICTS = (
    "very bad and unpleasant",
    "bad and unpleasant",
    "bad and annoying",
    "very bad",
    "bad",
    "unpleasant",
    "slightly unpleasant",
    "slightly annoying",
    "imperfect",
    "ordinary",
    "okay",
    "acceptable",
    "clear",
    "good",
    "very good",
    "natural and clear",
    "good and clear",
    "very good and clear",
    "good, clear and pleasant",
    "excellent, clear and pleasant",
)
"""What the listener calls the speech, from a quality of 0 to 1 in equal steps.

The remarks state facts. Only the verdict carries sentiment, so that a rating of the text follows
the quality."""


def severities(properties: Properties) -> dict[str, float]:
    """Returns the severity of each of `FAULTS`, in 0 (nobody would notice) to 1."""
    found = {}
    for name, fault in FAULTS.items():
        value = fault.scale(getattr(properties, name))
        found[name] = float(np.clip((value - fault.best) / (fault.worst - fault.best), 0, 1))
    return found


def quality(found: dict[str, float]) -> float:
    """Returns the overall quality in 0..1: the product of what each fault leaves of it."""
    return float(np.prod([1 - FAULTS[name].weight * severity for name, severity in found.items()]))


def describe(samples: np.ndarray, sample_rate: int) -> str:
    """Returns a description of one recording in a few English sentences.

    Args:
        samples: float64 [n] with full scale 1.
        sample_rate: the sample rate in Hz.

    Raises:
        Unscorable: the recording is silent or shorter than half a second.
    """
    found = severities(measure(samples, sample_rate))
    place = min(int(quality(found) * len(VERDICTS)), len(VERDICTS) - 1)
    remarks = [f"The speech sounds {VERDICTS[place]}."]
    for name, severity in found.items():
        step = bisect.bisect_right((0.25, 0.5, 0.75), severity)
        if step and FAULTS[name].remarks[step - 1]:
            remarks.append(FAULTS[name].remarks[step - 1])
    return " ".join(remarks)
