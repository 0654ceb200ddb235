"""Rates a text by a lexicon of sentiment: VADER (Hutto and Gilbert 2014)."""

import functools
from typing import Any

from jaxgan.core.errors import UserError


@functools.cache
def _analyser() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise UserError(
            f"the score words needs an additional package ({error}): pip install 'jaxgan[words]'"
        ) from error
    return SentimentIntensityAnalyzer()


def rate(text: str) -> float:
    """Returns 3 + 2 c in 1..5, where c in -1..1 is the compound sentiment that VADER computes.

    Raises:
        UserError: VADER is not installed.
    """
    return 3.0 + 2.0 * float(_analyser().polarity_scores(text)["compound"])


rate.prepare = _analyser  # type: ignore[attr-defined]
