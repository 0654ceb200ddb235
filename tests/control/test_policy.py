"""What `jaxgan.load` returns for an agent, with preferences that can be computed by hand."""

import numpy as np
import pytest

from jaxgan.control.policy import Policy
from jaxgan.core.errors import UserError


@pytest.fixture(scope="module")
def policy():
    """Takes the action whose number in the observation is the largest."""
    return Policy(lambda observed: observed, 3)


def test_one_observation_gives_an_int(policy):
    action = policy(np.array([0.1, 0.3, 0.2]))
    assert type(action) is int
    assert action == 1
    assert policy([5, 4, 3]) == 0


def test_several_observations_give_an_array(policy):
    actions = policy(np.array([[0, 0, 1], [2, 0, 1]], np.float16))
    assert actions.dtype == np.int32
    assert actions.tolist() == [2, 0]
    assert policy(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([1.0, 2.0], r"observation has the shape \(2,\): give \[3\], or \[n, 3\] for several"),
        (1.0, r"observation has the shape \(\): give \[3\]"),
        (np.zeros((1, 2, 3)), r"observation has the shape \(1, 2, 3\): give \[3\]"),
        (np.zeros((3, 2)), r"observation has the shape \(3, 2\): give \[3\]"),
        ([0, np.nan, 0], "observation contains NaN or infinite values"),
        ([0, 1e39, 0], "observation contains NaN or infinite values"),
        (["a", "b", "c"], "observation is an array of <U1: give numbers"),
        ([[1, 2, 3], [1]], "observation: its rows differ in length"),
        (None, "observation is an array of object: give numbers"),
    ],
)
def test_an_observation_that_cannot_be_used_is_named(policy, observation, message):
    with pytest.raises(UserError, match=f"^{message}"):
        policy(observation)
