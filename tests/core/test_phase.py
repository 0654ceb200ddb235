import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.core import devices
from jaxgan.core.phase import TOGETHER, Phase, by_step, in_runs, shuffled
from jaxgan.core.state import begin, descend, make_player

OPTIMIZER = optax.adam(0.1)


def step(state, batch):
    """Fits a weight to numbers; counts its compilations."""
    step.traced += 1

    def loss(params, player_state):
        error = batch["numbers"] - params["weight"]
        return jnp.mean(error**2), (player_state, {"loss": jnp.mean(error**2), "error": error[:2]})

    return descend(state, "player", loss, OPTIMIZER)


@pytest.fixture
def fresh():
    step.traced = 0
    variables = {"params": {"weight": jnp.ones(())}}
    return lambda: begin(jax.random.key(0), {"player": make_player(variables, OPTIMIZER)})


def batches_of(*sizes, mesh):
    random = np.random.default_rng(0)
    numbers = [{"numbers": random.standard_normal(size).astype(np.float32)} for size in sizes]
    return devices.put_sharded(numbers, mesh)


@pytest.mark.parametrize("count", [1, 8])
def test_the_numbers_are_those_of_the_steps_one_by_one(fresh, count):
    mesh = devices.make_mesh(count)
    sizes = [8] * (TOGETHER + 1) + [16] * 3 + [8]
    batches = batches_of(*sizes, mesh=mesh)
    state, expected = fresh(), []
    for batch in batches:
        state, metrics = step(state, batch)
        expected.append(metrics)

    moved, log = Phase(step, mesh)(devices.put_replicated(fresh(), mesh), batches)
    assert [report.steps for report in log] == [TOGETHER, 1, 3, 1]
    found = by_step(jax.device_get(log))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-6)
        np.testing.assert_allclose(one["error"], other["error"], atol=1e-6)
    assert int(moved.step) == int(state.step) == len(sizes)
    for one, other in zip(*map(jax.tree.leaves, (moved.players, state.players)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_each_shape_is_compiled_once(fresh):
    mesh = devices.make_mesh(1)
    phase = Phase(step, mesh)
    state, _ = phase(devices.put_replicated(fresh(), mesh), batches_of(8, 16, mesh=mesh))
    traced = step.traced
    with jax.no_tracing():
        phase(state, batches_of(*[16] * 5, 8, 8, mesh=mesh))
    assert step.traced == traced


def test_batches_are_asked_for_when_their_program_is_due(fresh):
    mesh = devices.make_mesh(1)
    asked = []

    def batches():
        for number, batch in enumerate(batches_of(*[8] * (2 * TOGETHER), mesh=mesh)):
            asked.append(number)
            yield batch

    def watched(phase, state, filled, count):
        asked.append("program")
        return phase(state, filled, count)

    phase = Phase(step, mesh)
    phase._run = functools.partial(watched, phase._run)
    phase(devices.put_replicated(fresh(), mesh), batches())
    assert asked.index("program") == TOGETHER + 1


def test_nothing_to_do_changes_nothing(fresh):
    mesh = devices.make_mesh(1)
    state, log = Phase(step, mesh)(fresh(), [])
    assert int(state.step) == 0
    assert by_step(log) == []


def test_equal_shapes_run_together():
    shapes = ["a", "b", *["a"] * TOGETHER, "b"]
    runs = in_runs(shapes)
    assert runs == [[0, *range(2, TOGETHER + 1)], [TOGETHER + 1], [1, TOGETHER + 2]]
    order = shuffled(shapes, np.random.default_rng(3))
    assert sorted(order) == list(range(len(shapes)))
    assert tuple(order) in {tuple(itertools.chain(*some)) for some in itertools.permutations(runs)}


def test_the_order_of_runs_is_random():
    random = np.random.default_rng(0)
    assert len({tuple(shuffled("abcd", random)) for _ in range(50)}) > 10
