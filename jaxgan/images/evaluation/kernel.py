"""The kernel distance: the squared maximum mean discrepancy of features under a cubic kernel.

It is that of Bińkowski et al. 2018, (x·y / d + 1)^3, which is called KID where the features are
those of Inception. It is computed from all pairs of samples, so nothing is drawn at random.
"""

import numpy as np


def squared_discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the unbiased estimate of the squared discrepancy (Gretton et al. 2012, equation 3).

    Args:
        first: float64 [n, d], n at least 2.
        second: float64 [m, d], m at least 2.
    """
    return (
        _mean_of_others(first) + _mean_of_others(second) - 2 * float(_kernel(first, second).mean())
    )


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # NumPy's power takes several times as long


def _mean_of_others(x: np.ndarray) -> float:
    """The mean of the kernel over pairs of different rows."""
    values, count = _kernel(x, x), len(x)
    return float((values.sum() - np.trace(values)) / (count * (count - 1)))
