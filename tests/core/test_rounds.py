import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core import devices, log, loop, rounds, state
from jaxgan.core.checkpoint import Checkpoints
from jaxgan.core.errors import UserError
from jaxgan.core.metrics import Total
from jaxgan.core.settings import run_settings
from jaxgan.core.timer import Timer

OPTIMIZER = optax.adam(0.1)
SLOPE = np.array([1.0, -2.0, 0.5], np.float32)


def make(mesh, **more):
    """A linear regression as a `StepRecipe`."""

    def init(key):
        variables = {"params": {"slope": jax.random.normal(key, (3,))}}
        return state.make_run_state(key, {"line": state.make_player(variables, OPTIMIZER)})

    def step(run_state, batch):
        def loss(players):
            value = jnp.mean((batch["x"] @ players["line"].params["slope"] - batch["y"]) ** 2)
            return value, ({}, {"loss": value, "rows": Total(jnp.float32(len(batch["x"])))})

        return state.descend(run_state, {"line": OPTIMIZER}, loss)

    def draw(number):
        x = np.random.default_rng(number).standard_normal((3, 16, 3)).astype(np.float32)
        batches = devices.put_sharded([{"x": rows, "y": rows @ SLOPE} for rows in x], mesh)
        return rounds.Draw(batches, {"rows": 48.0})

    def measure(run_state):
        return {"error": jnp.sum((run_state.players["line"].params["slope"] - SLOPE) ** 2)}

    return rounds.StepRecipe(
        mesh,
        init=init,
        step=step,
        moves=["line"],
        draw=draw,
        evaluate=rounds.evaluate_with(measure, lambda found: -found["error"], mesh),
        **more,
    )


@pytest.fixture(scope="module")
def recipe():
    return make(devices.make_mesh(8))


def restored(recipe, workdir):
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        return checkpoints.restore(recipe.init(jax.random.key(0)))


def test_a_step_recipe_trains_and_resumes_exactly(recipe, tmp_path, assert_same, numbers):
    for name, stops in (("whole", [4]), ("parts", [1, 3, 4])):
        for stop in stops:
            loop.run(recipe, run_settings("line", stop, 16), tmp_path / name)
    whole, parts = (restored(recipe, tmp_path / name) for name in ("whole", "parts"))
    assert_same(whole[0], parts[0])
    assert [dict(record) for record in whole[1]] == [{}] * 4
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")
    rows = log.read(tmp_path / "whole")
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    assert {row["train/rows"] for row in rows} == {48.0}
    assert rows[3]["train/loss"] < rows[0]["train/loss"]
    assert rows[3]["valid/error"] < rows[0]["valid/error"]
    assert whole[2].best_objective == pytest.approx(-rows[whole[2].best_round - 1]["valid/error"])
    rate = rows[3]["throughput/rows_per_second"]
    assert rate == pytest.approx(48 / rows[3]["time/round"])
    assert {"time/data", "time/steps"} <= rows[0].keys()


def test_devices_share_the_memory_of_a_recipe_with_such_shardings():
    mesh, optimizer = devices.make_mesh(8), optax.sgd(0.1)
    whole = devices.replicated(mesh)

    def init(key):
        variables = {"params": {"slope": jax.random.normal(key, ())}}
        players = {"line": state.make_player(variables, optimizer)}
        return state.make_run_state(key, players, {"rows": jnp.arange(16.0)})

    def step(run_state, rows):
        def loss(players):
            return players["line"].params["slope"] * jnp.sum(rows), ({}, {})

        moved, found = state.descend(run_state, {"line": optimizer}, loss)
        return dataclasses.replace(moved, memory={"rows": run_state.memory["rows"] + rows}), found

    recipe = rounds.StepRecipe(
        mesh,
        init=init,
        step=step,
        moves=["line"],
        draw=lambda number: rounds.Draw([devices.put_sharded(np.ones(16, np.float32), mesh)] * 3),
        evaluate=lambda state, number: None,
        shardings=state.RunState(whole, whole, whole, devices.sharded(mesh)),
    )
    before = recipe.init(jax.random.key(0))
    after, _, _ = recipe.round(before, (), 1, Timer())
    np.testing.assert_array_equal(after.memory["rows"], np.arange(16) + 3)
    for leaf in (recipe.init(jax.random.key(0)).memory["rows"], after.memory["rows"]):
        assert leaf.sharding.is_equivalent_to(devices.sharded(mesh), 1)
    assert after.players["line"].params["slope"].sharding.is_fully_replicated


def test_what_a_step_recipe_passes_on(tmp_path):
    seen = []

    def check(found):
        seen.append(found)
        raise UserError("nothing can be learned")

    recipe = make(
        devices.make_mesh(1),
        check=check,
        close=lambda: seen.append("closed"),
        files={"names.json": b"[]"},
        optional_players=["line"],
    )
    assert recipe.history_window == 0
    assert recipe.optional_players == ("line",)
    with pytest.raises(UserError, match="nothing can be learned"):
        loop.run(recipe, run_settings("line", 2, 16), tmp_path)
    recipe.close()
    assert seen[0].keys() == {"loss", "rows"}
    assert seen[1] == "closed"
    assert (tmp_path / "names.json").read_bytes() == b"[]"
    make(devices.make_mesh(1)).close()
