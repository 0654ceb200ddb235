"""Reads the scores that the generator should reach on single utterances."""

import csv
import math
from collections.abc import Sequence

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.core.text_files import read_text
from jaxgan.speech.data.folders import normal


def read_targets(path: str, names: Sequence[str], default: float) -> np.ndarray:
    """Reads the score that G should reach on each utterance (Fu et al. 2019, s in equation 5).

    Args:
        path: a CSV file without a header and with a line NAME,TARGET per utterance, or "" for none.
            Targets are on the scale of D's outputs (see `config.score_map`).
        names: the names of the n utterances in the corpus.
        default: the target of utterances that are not in the file.

    Returns:
        float32 [n], the target of each utterance.

    Raises:
        UserError: the file cannot be read, or a line is not the name of an utterance in the corpus
            and a finite number.
    """
    indices = {normal(name): index for index, name in enumerate(names)}
    targets = np.full(len(names), default, np.float32)
    if not path:
        return targets
    text = read_text(path, "config.targets=", "lines NAME,TARGET")
    rows = list(csv.reader(text.splitlines()))
    for line, row in enumerate(rows, 1):
        try:
            name, target = row
            targets[indices[normal(name)]] = value = float(target)
        except (KeyError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UserError(
                f"config.targets={path}, line {line}: {','.join(row)!r} is not NAME,TARGET with "
                f"the name of a training utterance, such as {names[0]!r}, and a number"
            )
    return targets
