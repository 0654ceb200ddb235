"""Black-box scores: what they are, how to find them by name, and how a compiled step gets them.

This package imports no jax, because worker processes load it.
"""

from jaxgan.scores.registry import NAMES, get
from jaxgan.scores.score import Score, Unscorable, by_range, with_map

__all__ = ["NAMES", "Score", "Unscorable", "by_range", "get", "with_map"]
