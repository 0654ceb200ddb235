"""Checks of the arguments that programs give to what `jaxgan.load` returns."""

import operator
from typing import Any

from jaxgan.core.errors import UserError

LARGEST = 2**31 - 1
"""The largest seed, which fits an int32."""


def whole_number(name: str, value: Any, lowest: int = 0) -> int:
    """Returns a whole number as an int; NumPy's integers are accepted too.

    Args:
        name: the name of the argument, for the message.
        value: that was given.
        lowest: the smallest allowed value.

    Raises:
        UserError: it is not a whole number from `lowest` to `LARGEST`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = lowest - 1
    if not lowest <= number <= LARGEST:
        raise UserError(f"{name}={value!r}: give a whole number, {lowest} or more")
    return number


def check_positive(name: str, value: Any) -> None:
    """Raises UserError, naming the argument, unless the value is a finite number above 0."""
    try:
        usable = 0 < value < float("inf")
    except TypeError:
        usable = False
    if not usable:
        raise UserError(f"{name}={value}: must be above 0")
