"""Modes that a generator of points finds, where the modes of the data are known."""

from typing import NamedTuple

import numpy as np

from jaxgan.images.evaluation.classifier import reverse_kl
from jaxgan.images.evaluation.features import checked

HIGH_QUALITY_SDS = 3
"""How far from a mode a sample of high quality may be (Srivastava et al. 2017)."""


class Modes(NamedTuple):
    """How a generator covers the modes.

    Attributes:
        modes: number of modes with a sample of high quality.
        high_quality: share of samples of high quality.
        loose_modes: number of modes with at least a given share of the samples near them.
        reverse_kl: KL(generated || uniform) over modes in nats, where each sample counts for the
            nearest mode.
    """

    modes: int
    high_quality: float
    loose_modes: int
    reverse_kl: float


def mode_coverage(
    samples: np.ndarray,
    centres: np.ndarray,
    sd: float,
    loose_distance: float,
    loose_share: float = 20 / 2500,
) -> Modes:
    """Returns how samples cover a mixture of Gaussians of equal weight.

    Args:
        samples: float [n, d].
        centres: float [m, d] of the Gaussians.
        sd: their standard deviation in every direction.
        loose_distance: a sample this near to a centre counts for a loose mode.
        loose_share: the share of all samples that a loose mode needs; by default 20 of 2500.

    Raises:
        UserError: the samples are not finite, or have another dimension than the centres.
    """
    samples = checked(samples, "samples", centres.shape[1])
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
    nearest, distance = distances.argmin(axis=1), distances.min(axis=1)
    good = distance <= HIGH_QUALITY_SDS * sd
    near = np.bincount(nearest[distance <= loose_distance], minlength=len(centres))
    return Modes(
        modes=len(np.unique(nearest[good])),
        high_quality=float(good.mean()),
        loose_modes=int(np.sum(near >= loose_share * len(samples))),
        reverse_kl=reverse_kl(nearest, np.full(len(centres), 1 / len(centres))),
    )
