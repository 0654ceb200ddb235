import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core import devices, state
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.errors import UserError
from jaxgan.core.players import adopt, load_players


def make_state(value, size=3, names=("g", "d"), optimizer=None, sharded=False):
    optimizer = optimizer or optax.adam(1e-3)
    variables = {
        "params": {"layers": [jnp.full(size, value), {"b": jnp.full((2, 2), value)}]},
        "batch_stats": {"u": jnp.full(2, value, jnp.bfloat16)},
    }
    players = {name: state.make_player(variables, optimizer) for name in names}
    mesh = devices.make_mesh(8)
    whole = jax.device_put(
        state.make_run_state(jax.random.key(0), players), devices.replicated(mesh)
    )
    if sharded:
        for player in whole.players.values():
            layers = player.params["layers"]
            layers[0] = jax.device_put(layers[0], devices.sharded(mesh))
    return whole


@pytest.fixture
def trained(tmp_path):
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(make_state(1.0), (), Position(1, 0.0, 1, 0.9))
        checkpoints.save(make_state(2.0), (), Position(2, 0.0, 1, 0.9))
    return tmp_path


@pytest.mark.parametrize(("checkpoint", "value"), [("best", 1.0), ("last", 2.0), ("2", 2.0)])
def test_players_are_numpy_arrays_without_optimizers(trained, checkpoint, value):
    players = load_players(trained, checkpoint)
    assert players.keys() == {"g", "d"}
    player = players["g"]
    assert player.opt_state is None
    expected = make_state(value).players["g"]
    for one, other in ((player.params, expected.params), (player.state, expected.state)):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            assert isinstance(left, np.ndarray)
            np.testing.assert_array_equal(left, np.asarray(right), strict=True)


def test_damaged_players_are_reported(trained):
    for path in (trained / "checkpoints" / "1" / "players").rglob("d/*"):
        path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    with pytest.raises(UserError, match=r"checkpoints/1 cannot be restored"):
        load_players(trained, "best")
    assert load_players(trained, "last")


def test_adopted_networks_are_on_the_devices_of_the_fresh_state(trained):
    fresh = make_state(0.0, optimizer=optax.sgd(0.1))
    state = adopt(fresh, trained)
    assert float(state.players["g"].params["layers"][0][0]) == 1.0
    assert float(state.players["d"].state["batch_stats"]["u"][0]) == 1.0
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, fresh)


def test_adopting_keeps_arrays_sharded(trained, tmp_path):
    with contextlib.closing(Checkpoints(tmp_path / "other")) as checkpoints:
        checkpoints.save(make_state(3.0, size=16, sharded=True), (), Position(1))
    fresh = make_state(0.0, size=16, sharded=True)
    fresh.players["g"] = fresh.players["g"].replace(
        average=jax.tree.map(jnp.copy, fresh.players["g"].params)
    )
    state = adopt(fresh, tmp_path / "other")
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, fresh)
    for tree in (state.players["g"].params, state.players["g"].average):
        assert not tree["layers"][0].is_fully_replicated
        np.testing.assert_array_equal(tree["layers"][0], np.full(16, 3.0, np.float32))


def test_a_run_with_fewer_players_takes_only_its_own(trained):
    assert adopt(make_state(0.0, names=("g",)), trained).players.keys() == {"g"}


def test_an_optional_player_that_is_missing_stays_fresh(trained):
    state = adopt(make_state(0.0, names=("g", "referee")), trained, optional=("referee", "d"))
    assert float(state.players["g"].params["layers"][0][0]) == 1.0
    assert float(state.players["referee"].params["layers"][0][0]) == 0.0


def test_a_player_that_cannot_be_adopted_is_named(trained):
    with pytest.raises(UserError, match="has no player referee"):
        adopt(make_state(0.0, names=("g", "referee")), trained)
    with pytest.raises(
        UserError, match=r"params is another network: layers/0 is float32\[3\] there"
    ):
        adopt(make_state(0.0, size=4), trained)
    other = make_state(0.0)
    other.players["d"].params["layers"][1]["extra"] = jnp.ones(1)
    with pytest.raises(UserError, match="layers/1/extra exists only here"):
        adopt(other, trained)


def test_players_that_must_stay_fresh_are_not_adopted(recipe, uninterrupted):
    fresh = recipe.init(jax.random.key(5))
    adopted = adopt(fresh, uninterrupted, fresh=("discriminator",))
    same = {
        name: all(
            np.array_equal(a, b)
            for a, b in zip(
                *(jax.tree.leaves(s.players[name].params) for s in (fresh, adopted)), strict=True
            )
        )
        for name in fresh.players
    }
    assert same == {"discriminator": True, "generator": False}
