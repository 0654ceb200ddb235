"""The kernel distance: the squared maximum mean discrepancy of features under a cubic kernel."""

from dataclasses import dataclass

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked_pair


@dataclass(frozen=True)
class KernelDistance:
    """The estimates of several random subsets.

    Attributes:
        mean: unbiased, so it is around 0, and may be negative, for equal distributions.
        sd: standard deviation of the subsets' estimates. The subsets overlap, so it is not to be
            divided by the root of their number.
    """

    mean: float
    sd: float


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, seed: int, subset_size: int = 1000, subsets: int = 100
) -> KernelDistance:
    """Returns the kernel distance of Bińkowski et al. 2018 (KID where features are Inception's).

    The kernel is (x·y / d + 1)^3. Each subset is drawn without replacement.

    Args:
        real: float [n, d].
        fake: float [m, d].
        seed: of the subsets.
        subset_size: as in torch-fidelity; at most n and m.
        subsets: as in the paper's code and in torch-fidelity.

    Raises:
        UserError: features are not finite or do not match, or there are fewer than a subset needs.
    """
    real, fake = checked_pair(real, fake)
    for name, features in (("real", real), ("generated", fake)):
        if not 2 <= subset_size <= len(features):
            raise UserError(
                f"{name} features: {len(features)} samples for subsets of {subset_size}; use more "
                "samples, or a subset_size from 2 to their number"
            )
    random = np.random.default_rng(seed)
    estimates = [
        squared_discrepancy(
            real[random.choice(len(real), subset_size, replace=False)],
            fake[random.choice(len(fake), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(estimates)), float(np.std(estimates)))


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
