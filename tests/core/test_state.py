import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core.state import descend, make_player, make_run_state, step_key

OPTIMIZERS = {"one": optax.sgd(0.5), "two": optax.adam(0.1)}


def run_of(averaged=False):
    """A state of three players; "one" and "two" have non-trained state."""
    variables = {
        "one": {"params": {"w": jnp.array([1.0, 3.0])}, "seen": {"n": jnp.zeros(())}},
        "two": {"params": {"w": jnp.array([2.0, -1.0])}, "seen": {"n": jnp.zeros(())}},
        "other": {"params": {"w": jnp.array([9.0])}, "seen": {"n": jnp.ones(())}},
    }
    optimizers = {**OPTIMIZERS, "other": optax.sgd(1.0)}
    players = {
        name: make_player(of_player, optimizers[name], averaged)
        for name, of_player in variables.items()
    }
    return make_run_state(jax.random.key(0), players)


def one_loss(players):
    """Half the sum of squares: a step at the rate 0.5 halves the parameters."""
    value = jnp.sum(players["one"].params["w"] ** 2) / 2
    return value, ({}, {"loss": value})


def product(one, two, other):
    return jnp.sum(one["w"] * two["w"] ** 2) * other["w"][0]


def joint_loss(players):
    """A loss of all three; it counts the calls in the state of "one" only."""
    value = product(*(players[name].params for name in ("one", "two", "other")))
    seen = {"seen": {"n": players["one"].state["seen"]["n"] + 1}}
    return value, ({"one": seen}, {"loss": value})


def test_a_step_moves_one_player_down_its_loss():
    before = run_of()
    after, metrics = descend(before, {"one": OPTIMIZERS["one"]}, one_loss)
    np.testing.assert_allclose(after.players["one"].params["w"], [0.5, 1.5])
    assert after.players["one"].state is before.players["one"].state
    assert after.players["two"] is before.players["two"]
    assert after.players["other"] is before.players["other"]
    assert int(after.step) == 1
    assert float(metrics["loss"]) == 5.0
    assert after.players["one"].average == {}
    assert after.players["one"].deployed is after.players["one"].params


def test_two_players_move_on_one_gradient(assert_same):
    before = run_of()
    after, metrics = descend(before, OPTIMIZERS, joint_loss)
    params = [before.players[name].params for name in ("one", "two", "other")]
    gradients = jax.grad(product, argnums=(0, 1))(*params)
    for (name, optimizer), gradient in zip(OPTIMIZERS.items(), gradients, strict=True):
        old, new = before.players[name], after.players[name]
        updates, opt_state = optimizer.update(gradient, old.opt_state, old.params)
        assert_same(new.params, optax.apply_updates(old.params, updates))
        assert_same(new.opt_state, opt_state)
    assert int(after.step) == 2
    assert float(metrics["loss"]) == float(product(*params))
    # Only the state that the loss returned is replaced.
    assert float(after.players["one"].state["seen"]["n"]) == 1
    assert after.players["two"].state is before.players["two"].state
    assert after.players["other"] is before.players["other"]


def test_the_average_keeps_a_share_of_itself():
    state = run_of(averaged=True)
    weights, average = 3.0, 3.0
    for _ in range(3):
        state, _ = descend(state, {"one": OPTIMIZERS["one"]}, one_loss, average_decay=0.9)
        weights /= 2
        average = 0.9 * average + 0.1 * weights
    player = state.players["one"]
    assert float(player.params["w"][1]) == pytest.approx(weights)
    assert float(player.average["w"][1]) == pytest.approx(average)
    assert player.deployed is player.average
    assert float(state.players["two"].average["w"][0]) == 2.0


def test_every_step_and_stream_has_its_own_key():
    state = run_of()
    moved, _ = descend(state, {"one": OPTIMIZERS["one"]}, one_loss)
    keys = [step_key(state), step_key(state, 0), step_key(state, 1), step_key(moved)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 4


@pytest.mark.parametrize("averaged", [False, True])
def test_without_training_a_player_keeps_its_deployed_parameters_and_its_state(averaged):
    player = run_of(averaged).players["two"]
    player = player.replace(params={"w": jnp.array([5.0, 6.0])})
    used = player.without_training()
    wanted = [2.0, -1.0] if averaged else [5.0, 6.0]
    np.testing.assert_array_equal(used.params["w"], wanted)
    assert used.state is player.state
    assert (used.opt_state, used.average) == ((), {})
