"""Scores that utterances are assigned, each its own."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxgan.core.errors import UserError


def read_targets(path: str, names: Sequence[str], otherwise: float) -> np.ndarray:
    """The score that G asks for each utterance (Fu et al., ICML 2019, s in equation 5).

    Args:
        path: CSV file without a head, a line NAME,TARGET for an utterance; targets are on D's
            scale, see `config.score_map`.
        names: of the corpus.
        otherwise: the target of utterances that the file does not name.

    Returns:
        float32 [n].

    Raises:
        UserError: the file cannot be read, or a line is no name of the corpus and a finite number.
    """
    place = {name: number for number, name in enumerate(names)}
    targets = np.full(len(names), otherwise, np.float32)
    try:
        rows = list(csv.reader(Path(path).read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config.targets={path} cannot be read ({error})") from error
    for line, row in enumerate(rows, 1):
        try:
            name, target = row
            targets[place[name]] = value = float(target)
        except (KeyError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UserError(
                f"config.targets={path}, line {line}: {','.join(row)!r} is not NAME,TARGET with "
                f"the name of a training utterance, such as {names[0]!r}, and a number"
            )
    return targets
