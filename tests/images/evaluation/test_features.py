import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked, checked_pair


def test_features_become_float64():
    found = checked(np.ones((2, 3), np.float32), "features")
    assert found.dtype == np.float64
    assert found.shape == (2, 3)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (2, 2, 2)])
def test_another_shape_is_refused(shape):
    with pytest.raises(UserError, match=r"^real features: features must be \[n, d\]"):
        checked(np.zeros(shape), "real features")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_counted_by_name(value):
    features = np.zeros((5, 3))
    features[1, 2] = features[3, 0] = features[3, 1] = value
    with pytest.raises(
        UserError, match=r"^generated features: 2 of 5 rows of features are not fin"
    ):
        checked_pair(np.zeros((4, 3)), features)
    with pytest.raises(UserError, match=r"^real features: 2 of 5 rows"):
        checked_pair(features, np.zeros((4, 3)))


def test_features_of_two_networks_are_refused():
    with pytest.raises(
        UserError, match=r"^generated features: rows of 4 numbers cannot be compared"
    ):
        checked_pair(np.zeros((3, 5)), np.zeros((3, 4)))
