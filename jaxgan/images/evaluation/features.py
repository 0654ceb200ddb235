"""Checks of the features that metrics compare."""

import numpy as np

from jaxgan.core.errors import UserError


def checked(features: np.ndarray, name: str, width: int | None = None) -> np.ndarray:
    """Returns features as float64 [n, d].

    Args:
        features: float [n, d].
        name: what the features belong to, for messages.
        width: d of the features they are compared with.

    Raises:
        UserError: they have another shape, no rows or columns, values that are not finite, or
            another width.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or not values.size:
        raise UserError(f"{name}: features must be [n, d] with n and d above 0, not {values.shape}")
    if width not in (None, values.shape[1]):
        raise UserError(
            f"{name}: rows of {values.shape[1]} numbers cannot be compared with rows of {width}; "
            "compute both with the same network"
        )
    wrong = int(np.sum(~np.isfinite(values).all(axis=1)))
    if wrong:
        raise UserError(
            f"{name}: {wrong} of {len(values)} rows of features are not finite; check the network "
            "that computes them and the images it is given"
        )
    return values


def checked_pair(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of real and of generated images as float64 [n, d] and [m, d].

    Raises:
        UserError: as for `checked`, or the two are not of the same network.
    """
    real = checked(real, "real features")
    return real, checked(fake, "generated features", real.shape[1])
