"""Weights without a run: written once, read like the folder of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from jaxgan.core import config as configs
from jaxgan.core import devices, loop, state, weights
from jaxgan.core.errors import UserError
from jaxgan.core.files import PRETRAINED_FOLDER, absolute
from jaxgan.core.players import load_players


def make_player(value, average=None):
    variables = {"params": {"a": {"b": jnp.full((2, 3), value)}}, "moments": {"m": jnp.ones(2)}}
    player = state.make_player(variables, optax.adam(1e-3))
    return player if average is None else player.replace(average={"a": {"b": average}})


@pytest.fixture
def exported(tmp_path):
    average = jnp.array([[1.0, 2.0, 3.0], [1.001, -0.3333, 1e-20]], jnp.float32)
    config = toy.get_config(hidden=5)
    players = {"generator": make_player(7.0, average), "other": make_player(0.5)}
    weights.write(absolute(tmp_path), config, players)
    return tmp_path


def test_arrays_are_the_deployed_ones_rounded_to_bfloat16(exported):
    players = load_players(exported)
    assert players.keys() == {"generator", "other"}
    found = players["generator"].params["a"]["b"]
    rounded = [[1, 2, 3], [1, -0.333984375, float(jnp.bfloat16(1e-20))]]
    np.testing.assert_array_equal(found, np.array(rounded, np.float32), strict=True)
    np.testing.assert_array_equal(players["generator"].state["moments"]["m"], np.ones(2))
    assert players["other"].params["a"]["b"].tolist() == [[0.5] * 3] * 2
    assert players["other"].opt_state is None
    assert players["other"].deployed is players["other"].params


def test_the_config_is_that_of_the_run(exported):
    assert configs.read(exported) == toy.get_config(hidden=5)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_file_is_refused(exported, damage):
    path = exported / weights.FILE
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    path.write_bytes({"cut": content[:-2], "empty": b""}.get(damage, content))
    if damage == "remove":
        path.unlink()
    message = "holds no checkpoint" if damage == "remove" else r"safetensors cannot be restored"
    with pytest.raises(UserError, match=message):
        load_players(exported)


def test_there_are_no_rounds(exported):
    assert load_players(exported, "last").keys() == load_players(exported, "best").keys()
    with pytest.raises(UserError, match="so there is no round 3"):
        load_players(exported, "3")


def test_an_object_store_is_refused(exported):
    with pytest.raises(UserError, match=r"gs://bucket/weights: copy exported weights"):
        weights.read(absolute("gs://bucket/weights"))


def test_training_does_not_start_among_exported_weights(exported):
    with pytest.raises(UserError, match=r"start from them with --config\.init_from"):
        loop.check(toy.get_config(), exported)


def test_training_starts_from_exported_weights_and_resumes_exactly(tmp_path):
    def train(name, rounds):
        config = toy.get_config(rounds=rounds, init_from=str(tmp_path / "weights"))
        recipe = toy.Toy(config, devices.make_mesh(1))
        loop.run(recipe, config, tmp_path / name)
        return load_players(tmp_path / name, "last")

    mesh = devices.make_mesh(1)
    start = toy.Toy(toy.get_config(), mesh).init(jax.random.key(3)).players
    (tmp_path / "weights").mkdir()
    weights.write(absolute(tmp_path / "weights"), toy.get_config(), start)
    whole = train("whole", 2)
    train("parts", 1)
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, train("parts", 2)))
    scratch = toy.get_config(rounds=2)
    loop.run(toy.Toy(scratch, mesh), scratch, tmp_path / "scratch")
    other = load_players(tmp_path / "scratch", "last")
    assert not jax.tree.all(jax.tree.map(np.array_equal, whole, other))


def test_pretrained_stands_for_the_folder_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(absolute("pretrained")) == str(PRETRAINED_FOLDER)
    assert str(absolute("./pretrained")) == str(tmp_path / "pretrained")
