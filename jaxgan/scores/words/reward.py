"""The score of a recording from a description of it in words."""

from collections.abc import Callable

import numpy as np

from jaxgan.scores.words import texts
from jaxgan.scores.words.lexicon import rate as rate_by_lexicon
from jaxgan.scores.words.listener import describe as describe_by_properties

Describe = Callable[[np.ndarray, int], str]
"""(samples float64 [n] with full scale 1, sample rate in Hz) -> a text. It raises
`jaxgan.scores.Unscorable` for a recording that it cannot describe."""
Rate = Callable[[str], float]
"""text -> 1 (worst) to 5 (best)."""


class TextReward:
    """A score: `rate` of what `describe` says about the estimate. It ignores the reference.

    An instance in a module of your own is a score by its import path, such as
    `--config.score=my_module:my_reward`. It works in the processes that compute scores, so each of
    them loads its own models.

    Args:
        describe: describes a recording. If it has an attribute `prepare`, a function without
            arguments, that is called before the first description; if its attribute `slow` is
            true, its texts are kept in the user's cache folder, under its repr and the recording.
        rate: rates a text; it may have `prepare`, too.
        name: the score's name in logs and tables.
    """

    lowest, highest = 1.0, 5.0
    higher_is_better = True

    def __init__(
        self,
        describe: Describe = describe_by_properties,
        rate: Rate = rate_by_lexicon,
        name: str = "words",
    ) -> None:
        self.name = name
        self._describe = describe
        self._rate = rate

    def prepare(self) -> None:
        """Loads the models of both functions."""
        for function in (self._describe, self._rate):
            getattr(function, "prepare", lambda: None)()

    def text(self, samples: np.ndarray, sample_rate: int) -> str:
        """Returns the description of a recording, from the cache if it has one.

        Args:
            samples: float64 [n] with full scale 1.
            sample_rate: the sample rate in Hz.

        Raises:
            jaxgan.scores.Unscorable: the recording cannot be described.
        """
        if not getattr(self._describe, "slow", False):
            return self._describe(samples, sample_rate)
        stored, key = texts.stored(), texts.key(self._describe, samples, sample_rate)
        known = stored.get(key)
        if known is not None:
            return known
        return stored.put(key, self._describe(samples, sample_rate))

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        """Returns the rating of the estimate, in 1..5; see `jaxgan.scores.Score`."""
        del reference
        return float(
            np.clip(self._rate(self.text(estimate, sample_rate)), self.lowest, self.highest)
        )


words = TextReward()
"""What a listener might say about the estimate, rated by a lexicon: 1 to 5, higher is better.

The score `words`: no model and no download; see `listener.describe` and `lexicon.rate`.
"""
