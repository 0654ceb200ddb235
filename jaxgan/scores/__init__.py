"""Black-box scores, and how a compiled step gets them.

Imports no jax: worker processes load this.
"""

from jaxgan.scores.registry import NAMES, get
from jaxgan.scores.score import Score, Unscorable, by_range, with_map

__all__ = ["NAMES", "Score", "Unscorable", "by_range", "get", "with_map"]
