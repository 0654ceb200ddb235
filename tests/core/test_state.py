import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core.state import begin, descend, make_player

OPTIMIZER = optax.sgd(0.5)


def run_of(averaged):
    players = {
        "one": make_player({"params": {"w": jnp.array([1.0, 3.0])}}, OPTIMIZER, averaged),
        "other": make_player({"params": {"w": jnp.array([9.0])}, "memory": {"n": 1}}, OPTIMIZER),
    }
    return begin(jax.random.key(0), players)


def loss(params, state):
    """Half the sum of squares: each step of rate 0.5 halves the parameters."""
    value = jnp.sum(params["w"] ** 2) / 2
    return value, (state, {"loss": value})


def test_a_step_moves_one_player_down_its_loss():
    before = run_of(False)
    after, metrics = descend(before, "one", loss, OPTIMIZER)
    np.testing.assert_allclose(after.players["one"].params["w"], [0.5, 1.5])
    assert after.players["other"] is before.players["other"]
    assert int(after.step) == 1
    assert float(metrics["loss"]) == 5.0


def test_the_average_keeps_a_share_of_itself():
    state = run_of(True)
    weights, average = 3.0, 3.0
    for _ in range(3):
        state, _ = descend(state, "one", loss, OPTIMIZER, average_decay=0.9)
        weights /= 2
        average = 0.9 * average + 0.1 * weights
    player = state.players["one"]
    assert float(player.params["w"][1]) == pytest.approx(weights)
    assert float(player.average["w"][1]) == pytest.approx(average)
    assert player.deployed is player.average


def test_without_an_average_the_parameters_are_deployed():
    state, _ = descend(run_of(False), "one", loss, OPTIMIZER, average_decay=0.9)
    player = state.players["one"]
    assert player.average == {}
    assert player.deployed is player.params
