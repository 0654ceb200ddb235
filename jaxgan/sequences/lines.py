"""Draws sequences as lines of text, in memory."""

from jaxgan.core.arguments import check_positive, whole_number
from jaxgan.core.errors import UserError
from jaxgan.sequences.evaluation.sampler import Sampler

CLASSES = "generators of sequences have no classes"
"""The reason that these generators refuse a label."""


class LineSampler:
    """Draws from a trained generator of sequences. `jaxgan.load` makes one.

    Args:
        sampler: draws tokens, and turns them into text.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def __call__(
        self, count: int, seed: int = 0, label: None = None, temperature: float = 1.0
    ) -> list[str]:
        """Returns what sample.py writes, `count` lines: text, or an oracle's tokens as numbers.

        The same arguments give the same lines.

        Args:
            count: how many, at least 1.
            seed: the seed of the draw.
            label: must be None, since these generators have no classes.
            temperature: divides the logits: below 1 the lines are more likely, above 1 rarer.

        Raises:
            UserError: an argument cannot be used; the message says why.
        """
        if label is not None:
            raise UserError(f"label={label}: {CLASSES}")
        check_positive("temperature", temperature)
        count, seed = whole_number("count", count, 1), whole_number("seed", seed)
        return self.sampler.lines(self.sampler.draw(count, seed, temperature))
