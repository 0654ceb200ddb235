import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core import devices
from jaxgan.core.state import RunState, descend, make_player, make_run_state
from jaxgan.core.steps import (
    BATCHES,
    StepMetrics,
    Steps,
    by_step,
    group,
    shuffled,
    take_outputs,
)

OPTIMIZER = optax.adam(0.1)


def step(state, batch, *shared):
    """Fits a weight to numbers, or to the rows of a shared table; counts its compilations."""
    step.traced += 1
    targets = shared[0]["table"][batch["rows"]] if shared else batch["numbers"]

    def loss(players):
        error = targets - players["fit"].params["weight"]
        return jnp.mean(error**2), ({}, {"loss": jnp.mean(error**2), "error": error[:2]})

    return descend(state, {"fit": OPTIMIZER}, loss)


def fresh(mesh):
    """A state with the player that `step` moves and one that it must not move."""
    step.traced = 0
    players = {
        name: make_player({"params": {"weight": jnp.ones(())}}, OPTIMIZER)
        for name in ("fit", "other")
    }
    return devices.put_replicated(make_run_state(jax.random.key(0), players), mesh)


def batches_of(*sizes, mesh):
    random = np.random.default_rng(0)
    numbers = [{"numbers": random.standard_normal(size).astype(np.float32)} for size in sizes]
    return devices.put_sharded(numbers, mesh)


def one_by_one(mesh, batches, *shared):
    state, expected = fresh(mesh), []
    compiled = jax.jit(step)
    for batch in batches:
        state, metrics = compiled(state, batch, *shared)
        expected.append(metrics)
    return state, expected


def assert_close(found, expected):
    (state, reports), (other, metrics) = found, expected
    steps = by_step(jax.device_get(reports))
    assert len(steps) == len(metrics) == int(state.step)
    pairs = map(jax.tree.leaves, ((steps, state.players), (metrics, other.players)))
    for one, two in zip(*pairs, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_one_program_gives_the_numbers_of_the_steps_one_by_one():
    mesh = devices.make_mesh(8)
    sizes = [8] * 4 + [16] * 3 + [8]
    batches = batches_of(*sizes, mesh=mesh)
    expected = one_by_one(mesh, batches)
    programs = {1: [1] * 8, 3: [3, 1, 3, 1], BATCHES: [4, 3, 1]}
    for room, filled in programs.items():
        found = Steps(step, mesh, ["fit"], room)(fresh(mesh), batches)
        assert [report.steps for report in found[1]] == filled
        assert_close(found, expected)


def test_every_step_receives_what_is_shared():
    mesh = devices.make_mesh(1)
    table = np.arange(10, dtype=np.float32)
    shared = devices.put_replicated({"table": table}, mesh)
    batches = devices.put_sharded([{"rows": np.array([n, 9 - 2 * n])} for n in range(4)], mesh)
    found = Steps(step, mesh, ["fit"], 3)(fresh(mesh), batches, shared)
    assert_close(found, one_by_one(mesh, batches, shared))


def test_each_shape_is_compiled_once_and_batches_are_requested_late():
    mesh = devices.make_mesh(1)
    steps = Steps(step, mesh, ["fit"], 3)
    state, _ = steps(fresh(mesh), batches_of(8, 16, mesh=mesh))
    traced = step.traced
    requested = []

    def requests():
        for number, batch in enumerate(batches_of(*[16] * 5, 8, 8, mesh=mesh)):
            requested.append(number)
            yield batch

    def watched(program, *arguments):
        requested.append("program")
        return program(*arguments)

    steps._program = functools.partial(watched, steps._program)
    with jax.no_tracing():
        steps(state, requests())
    assert step.traced == traced
    assert requested == [0, 1, 2, 3, "program", 4, 5, "program", 6, "program"]


def test_no_batches_change_nothing():
    mesh = devices.make_mesh(1)
    state, reports = Steps(step, mesh, ["fit"])(fresh(mesh), [])
    assert int(state.step) == 0
    assert by_step(reports) == []


def test_a_step_may_change_only_the_players_that_it_declares():
    mesh = devices.make_mesh(1)
    with pytest.raises(ValueError, match=r"the step changes the player 'fit'; it declares"):
        Steps(step, mesh, ["other"])(fresh(mesh), batches_of(8, mesh=mesh))

    def touch(state, batch):
        other = dataclasses.replace(state.players["other"], average={})
        params = {"weight": other.params["weight"] + 1.0}
        players = {**state.players, "other": dataclasses.replace(other, params=params)}
        return dataclasses.replace(state, players=players), {}

    with pytest.raises(ValueError, match="the step changes the player 'other'"):
        Steps(touch, mesh, ["fit"])(fresh(mesh), batches_of(8, mesh=mesh))


def test_memory_and_metrics_may_be_sharded():
    mesh = devices.make_mesh(8)
    whole, cut = devices.replicated(mesh), devices.sharded(mesh)
    by_row = jax.NamedSharding(mesh, jax.P(None, "data"))

    def remember(state, batch):
        state, metrics = step(state, batch)
        buffer = jnp.roll(state.memory["buffer"], 1, axis=1).at[:, 0].set(batch["numbers"])
        state = dataclasses.replace(state, memory={"buffer": buffer})
        return state, {"loss": metrics["loss"], "rows": 2 * batch["numbers"]}

    of_state = RunState(players=whole, step=whole, key=whole, memory=cut)
    steps = Steps(remember, mesh, ["fit"], 3, (of_state, {"loss": whole, "rows": by_row}))
    buffer = devices.put_sharded(np.zeros((8, 4), np.float32), mesh)
    before = dataclasses.replace(fresh(mesh), memory={"buffer": buffer})
    batches = batches_of(8, 8, mesh=mesh)
    after, (report,) = steps(before, batches)
    assert after.memory["buffer"].sharding.is_equivalent_to(cut, 2)
    assert report.metrics["rows"].sharding.is_equivalent_to(by_row, 2)
    assert report.metrics["loss"].is_fully_replicated
    # The old state was donated, the sharded memory included.
    assert buffer.is_deleted()
    assert before.players["fit"].params["weight"].is_deleted()
    numbers = [np.asarray(batch["numbers"]) for batch in batches]
    expected = np.stack([numbers[1], numbers[0], *np.zeros((2, 8))], axis=1)
    np.testing.assert_array_equal(after.memory["buffer"], expected)
    rows = [metrics["rows"] for metrics in by_step([jax.device_get(report)])]
    np.testing.assert_array_equal(rows, 2 * np.stack(numbers))


def test_equal_shapes_are_grouped():
    shapes = ["a", "b", *["a"] * 3, "b"]
    groups = group(shapes, 3)
    assert groups == [[0, 2, 3], [4], [1, 5]]
    order = shuffled(shapes, np.random.default_rng(3), 3)
    assert sorted(order) == list(range(len(shapes)))
    assert tuple(order) in {
        tuple(itertools.chain(*some)) for some in itertools.permutations(groups)
    }


def test_the_order_of_groups_is_random():
    random = np.random.default_rng(0)
    assert len({tuple(shuffled("abcd", random)) for _ in range(50)}) > 10


def test_outputs_are_taken_step_by_step():
    stacked = {"x": jnp.arange(6).reshape(3, 2), "y": jnp.arange(3), "loss": jnp.ones(3)}
    reports = [StepMetrics(dict(stacked), 3), StepMetrics(dict(stacked), 2)]
    parts = take_outputs(reports, "x", "y")
    assert [int(y) for _, y in parts] == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(parts[1][0], [2, 3])
    assert [set(report.metrics) for report in reports] == [{"loss"}, {"loss"}]


def test_programs_are_lowered_for_described_arrays():
    mesh = devices.make_mesh(8)
    steps = Steps(step, mesh, ["fit"], 3)
    state, (batch,) = fresh(mesh), batches_of(8, mesh=mesh)
    described = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        (state, batch),
    )
    lowered = steps.lower(*described)
    assert lowered.as_text() == steps.lower(state, batch).as_text()
    count = devices.put_replicated(np.int32(1), mesh)
    expected, _ = one_by_one(mesh, [batch])
    found, _ = lowered.compile()(state, (batch,) * 3, count, ())
    np.testing.assert_array_equal(
        found.players["fit"].params["weight"], expected.players["fit"].params["weight"]
    )
    assert state.step.is_deleted()
