"""The error of a classifier that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.core.state import Player
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.classification import error_of

VALUES = np.array([[1, 0], [0, 1], [2, 1], [1, 3], [5, 0], [0, 2], [1, 0]], np.float32)
LABELS = np.array([0, 1, 1, 1, 0, 0, 1], np.int32)


def linear(player, points):
    return points @ player.params["kernel"]


def measured(player, batch_size):
    mesh = devices.make_mesh(1)
    start = error_of("classifier", linear, Images(VALUES, LABELS, ("a", "b")), batch_size, mesh)
    with jax.transfer_guard("disallow"):
        return start({"classifier": devices.put_replicated(player, mesh)})()


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_error_is_the_share_of_wrong_answers(batch_size):
    """The last batch is filled with images that must not count."""
    metrics, objective = measured(Player({"kernel": jnp.eye(2)}, {}, ()), batch_size)
    assert metrics == {"eval/error": pytest.approx(3 / 7)}
    assert objective == pytest.approx(-3 / 7)


def test_the_running_average_answers():
    player = Player({"kernel": jnp.eye(2)}, {}, (), average={"kernel": -jnp.eye(2)})
    assert measured(player, 4)[0]["eval/error"] == pytest.approx(4 / 7)
