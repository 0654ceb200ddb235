import math

import numpy as np
import pytest

from jaxgan.core.arguments import check_positive, whole_number
from jaxgan.core.errors import UserError


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7)])
def test_whole_numbers_become_ints(value):
    assert type(whole_number("count", value, 1)) is int
    assert whole_number("count", value, 1) == value


@pytest.mark.parametrize("value", [0, -1, 1.0, "3", None, math.nan, [1], 2**31])
def test_anything_else_is_named(value):
    with pytest.raises(UserError, match=r"^count=.*: give a whole number, 1 or more$"):
        whole_number("count", value, 1)


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", None])
def test_what_is_not_above_0_is_named(value):
    check_positive("temperature", 0.5)
    with pytest.raises(UserError, match=r"^temperature=.*: must be above 0$"):
        check_positive("temperature", value)
