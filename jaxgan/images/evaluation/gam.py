"""The generative adversarial metric: two GANs judge each other's samples (Im et al. 2016)."""

import math
from typing import Literal, NamedTuple

import numpy as np

from jaxgan.core.errors import UserError

Winner = Literal["first", "second", "draw"]


class Battle(NamedTuple):
    """The result of a battle.

    Attributes:
        test_ratio: error of the first discriminator on real test images over that of the second.
            Far from 1, one of them is overfitted and the battle is meaningless.
        samples_ratio: error of the first discriminator on the second's samples over the error of
            the second discriminator on the first's samples. Below 1 the first GAN is better.
        winner: the better one, or a draw.
    """

    test_ratio: float
    samples_ratio: float
    winner: Winner


def battle(
    first_on_test: np.ndarray,
    second_on_test: np.ndarray,
    first_on_second: np.ndarray,
    second_on_first: np.ndarray,
    tolerance: float = 0.2,
) -> Battle:
    """Returns which of two GANs wins, by what each discriminator takes for real.

    Args:
        first_on_test: bool [n], which real test images the first discriminator takes for real.
        second_on_test: bool [n], the same for the second discriminator.
        first_on_second: bool [m], which of the second generator's samples the first discriminator
            takes for real.
        second_on_first: bool [m'], the same for the second discriminator and the first generator.
        tolerance: a ratio counts as 1 if its logarithm is within this. The paper gives no value.

    Raises:
        UserError: one of the arrays is empty.
    """
    predictions = {
        "first_on_test": first_on_test,
        "second_on_test": second_on_test,
        "first_on_second": first_on_second,
        "second_on_first": second_on_first,
    }
    for name, values in predictions.items():
        if not len(values):
            raise UserError(f"{name}: there are no predictions; judge at least one image")
    test_ratio = _ratio(1 - np.mean(first_on_test), 1 - np.mean(second_on_test))
    samples_ratio = _ratio(np.mean(first_on_second), np.mean(second_on_first))
    winner: Winner = "first" if samples_ratio < 1 else "second"
    if not _is_near_1(test_ratio, tolerance) or _is_near_1(samples_ratio, tolerance):
        winner = "draw"
    return Battle(test_ratio, samples_ratio, winner)


def _ratio(first: float, second: float) -> float:
    """Returns the ratio of two errors; 1 if both are 0."""
    if second == 0:
        return 1.0 if first == 0 else math.inf
    return float(first / second)


def _is_near_1(ratio: float, tolerance: float) -> bool:
    return math.exp(-tolerance) < ratio < math.exp(tolerance)
