"""Looks up scores by the names that configs use: built-in names and import paths."""

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

from jaxgan.core.errors import UserError
from jaxgan.core.importing import import_path
from jaxgan.scores.score import Score

# Import paths, so that a worker process imports only the package that its score needs.
_BUILT_IN = {
    "pesq_wb": "jaxgan.scores.pesq:pesq_wb",
    "pesq_nb": "jaxgan.scores.pesq:pesq_nb",
    "stoi": "jaxgan.scores.stoi:stoi",
    "estoi": "jaxgan.scores.stoi:estoi",
    "csig": "jaxgan.scores.composite:csig",
    "cbak": "jaxgan.scores.composite:cbak",
    "covl": "jaxgan.scores.composite:covl",
    "ssnr": "jaxgan.scores.segmental:ssnr",
    "si_sdr": "jaxgan.scores.si_sdr:si_sdr",
    "fwsegsnr": "jaxgan.scores.segmental:fwsegsnr",
    "lsd": "jaxgan.scores.lsd:lsd",
    "llr": "jaxgan.scores.segmental:llr",
    "wss": "jaxgan.scores.segmental:wss",
    "dnsmos_sig": "jaxgan.scores.dnsmos:dnsmos_sig",
    "dnsmos_bak": "jaxgan.scores.dnsmos:dnsmos_bak",
    "dnsmos_ovr": "jaxgan.scores.dnsmos:dnsmos_ovr",
    "dnsmos_p808": "jaxgan.scores.dnsmos:dnsmos_p808",
    "words": "jaxgan.scores.words.reward:words",
}
_EXTRA_PACKAGES = {"dnsmos": ("speechmos", "onnxruntime"), "words": ("vaderSentiment",)}
"""What scores need beyond the package's dependencies, by the first part of their name."""
NAMES = tuple(_BUILT_IN)
USUAL = NAMES[: NAMES.index("si_sdr") + 1]
"""Scores that evaluation computes by default: the columns of published tables."""
PLACES = ("host", "device", "auto")
"""Where scores may be computed in training, `config.scoring.where`."""
_REQUIRED = ("lowest", "highest", "higher_is_better")


def get(name: str) -> Score:
    """Returns the score with this name.

    Args:
        name: one of NAMES, or the import path of a user's own score: `package.score` or
            `module:score`. The path leads to a Score, or to a function, an instance or a class
            (instantiated without arguments) that takes (reference float64 [n], estimate float64
            [n], sample rate in Hz) and returns a float. It has the attributes lowest, highest and
            higher_is_better, and optionally name, normalise(raw), device, prepare() and text (see
            `Score`).

    Raises:
        UserError: there is no such score, it lacks an attribute, or its range is invalid.
    """
    if name in _BUILT_IN:
        return _as_score(_BUILT_IN[name], import_path(_BUILT_IN[name]))
    if "." not in name and ":" not in name:
        raise UserError(
            f"score: '{name}' is unknown; use one of {', '.join(NAMES)}, or the import path of "
            "your own, such as my_package.my_score or my_module:my_score"
        )
    return _as_score(name, import_path(name))


def installed() -> tuple[str, ...]:
    """Returns the built-in names whose packages are installed; some need an extra."""
    return tuple(
        name
        for name in NAMES
        if all(map(importlib.util.find_spec, _EXTRA_PACKAGES.get(name.split("_")[0], ())))
    )


def score_names(names: str) -> tuple[str, ...]:
    """Returns the names in a comma-separated list such as `config.score=pesq_wb,stoi`."""
    return tuple(name.strip() for name in names.split(","))


def check_scores(names: Sequence[str], weights: Sequence[float]) -> None:
    """Raises UserError for scores that are named twice, or weights that do not fit them.

    Args:
        names: the names in `config.score`.
        weights: `config.score_weights`, one for each score; none: 1 each.
    """
    if len(set(names)) < len(names):
        raise UserError(f"config.score={','.join(names)}: name each score once")
    if weights and (len(weights) != len(names) or min(weights) < 0):
        raise UserError(
            f"config.score_weights={tuple(weights)}: give one of 0 or more for each of "
            f"{len(names)} scores, or none"
        )


def _as_score(path: str, found: Any) -> Score:
    if isinstance(found, Score):
        return found
    if isinstance(found, type):
        try:
            found = found()
        except TypeError as error:
            raise UserError(
                f"score: '{path}': the class must take no arguments ({error})"
            ) from error
    if not callable(found):
        raise UserError(f"score: '{path}' cannot be called with (reference, estimate, sample_rate)")
    missing = [attribute for attribute in _REQUIRED if not hasattr(found, attribute)]
    short_name = getattr(found, "__name__", type(found).__name__)
    if missing:
        raise UserError(
            f"score: '{path}' lacks {', '.join(missing)}; add them to it, for example: "
            f"{short_name}.lowest, {short_name}.highest = 0.0, 1.0; "
            f"{short_name}.higher_is_better = True"
        )
    lowest, highest = float(found.lowest), float(found.highest)
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
        raise UserError(
            f"score: '{path}': lowest must be below highest, both finite, "
            f"not {found.lowest} and {found.highest}"
        )
    return Score(
        name=getattr(found, "name", short_name),
        lowest=lowest,
        highest=highest,
        higher_is_better=bool(found.higher_is_better),
        measure=found,
        own_map=getattr(found, "normalise", None),
        device=getattr(found, "device", None),
        prepare=getattr(found, "prepare", None),
        text=getattr(found, "text", None),
    )
