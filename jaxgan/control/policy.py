"""A trained agent as a function of observations, in memory."""

from typing import Any

import jax
import numpy as np

from jaxgan.control.evaluation.episodes import Preferences
from jaxgan.core.errors import UserError


class Policy:
    """Chooses actions with a trained agent. `jaxgan.load` makes one.

    Attributes:
        size: D, how many numbers an observation has.

    Args:
        preferences: the preferences of the agent; pure.
        size: see above.
    """

    def __init__(self, preferences: Preferences, size: int) -> None:
        self._program = jax.jit(lambda observed: preferences(observed).argmax(axis=-1))
        self.size = size

    def __call__(self, observation: Any) -> Any:
        """Returns the action of the agent without exploration: an int, or int32 [n].

        Args:
            observation: [D], or [n, D] for several; finite numbers.

        Raises:
            UserError: the observation cannot be used; the message says why.
        """
        observed = self._checked(observation)
        actions = np.asarray(self._program(np.atleast_2d(observed)), np.int32)
        return actions if observed.ndim == 2 else int(actions[0])

    def _checked(self, observation: Any) -> np.ndarray:
        try:
            given = np.asarray(observation)
        except ValueError as error:
            raise UserError("observation: its rows differ in length") from error
        if given.dtype.kind not in "biuf":
            raise UserError(f"observation is an array of {given.dtype}: give numbers")
        if given.ndim not in (1, 2) or given.shape[-1] != self.size:
            raise UserError(
                f"observation has the shape {given.shape}: give [{self.size}], or "
                f"[n, {self.size}] for several"
            )
        with np.errstate(over="ignore"):
            observed = given.astype(np.float32)
        if not np.isfinite(observed).all():
            raise UserError("observation contains NaN or infinite values")
        return observed
