import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.methods.ring import (
    Priorities,
    add,
    add_priorities,
    draw,
    draw_by_priority,
    make_priorities,
    make_ring,
    read,
    shardings,
    update_priorities,
)

ADD = jax.jit(add)
BY_PRIORITY = jax.jit(draw_by_priority, static_argnums=(3, 4, 5, 6))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def sample(ring, key, count, window=1, stride=1):
    return read(ring, draw(ring, key, count, window, stride), window, stride)


def filled(capacity, rows, calls):
    """A ring to which the numbers 0, 1, ... were added, `rows` in each call."""
    ring = make_ring({"number": jax.ShapeDtypeStruct((), jnp.int32)}, capacity)
    for call in range(calls):
        ring = ADD(ring, {"number": np.arange(call * rows, (call + 1) * rows, dtype=np.int32)})
    return ring


@pytest.mark.parametrize(("rows", "calls"), [(1, 3), (1, 8), (1, 13), (4, 1), (4, 2), (4, 5)])
def test_a_ring_holds_the_newest_rows(rows, calls):
    ring = filled(8, rows, calls)
    total = rows * calls
    assert (int(ring.added), int(ring.size), ring.capacity) == (total, min(total, 8), 8)
    held = np.asarray(ring.rows["number"])
    for number in range(max(0, total - 8), total):
        assert held[number % 8] == number


@pytest.mark.parametrize("calls", [3, 8, 13])
def test_samples_are_uniform_over_the_rows_that_are_held(calls):
    ring = filled(8, 1, calls)
    drawn = sample(ring, jax.random.key(0), 8000)["number"]
    assert drawn.shape == (8000, 1)
    numbers, counts = np.unique(drawn, return_counts=True)
    held = min(calls, 8)
    assert numbers.tolist() == list(range(calls - held, calls))
    np.testing.assert_allclose(counts / 8000, 1 / held, atol=0.02)


@pytest.mark.parametrize("calls", [3, 4, 7])
def test_windows_continue_a_sequence_and_never_cross_the_newest_row(calls):
    ring = filled(8, 2, calls)  # two sequences: the even and the odd numbers
    drawn = np.asarray(sample(ring, jax.random.key(1), 2000, 3, 2)["number"])
    np.testing.assert_array_equal(np.diff(drawn, axis=1), 2)
    oldest = max(0, 2 * calls - 8)
    assert sorted(set(drawn[:, 0].tolist())) == list(range(oldest, 2 * calls - 4))


def test_the_capacity_is_a_multiple_of_the_rows():
    ring = make_ring(jnp.zeros(3), 8)
    with pytest.raises(ValueError, match="a ring of 8 rows on 1 devices cannot take 3 at a time"):
        add(ring, jnp.zeros((3, 3)))
    mesh = devices.make_mesh(8)
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="8 devices cannot take 2 at a time"):
        add(ring, jnp.zeros((2, 3)))


@pytest.mark.parametrize("calls", [3, 11])
def test_a_ring_cut_over_eight_devices_is_that_of_one(calls):
    """Rows of several types, before and after the ring wraps around, with windows across parts."""
    like = {
        "number": jax.ShapeDtypeStruct((), jnp.int32),
        "seen": jax.ShapeDtypeStruct((3,), jnp.float32),
        "ended": jax.ShapeDtypeStruct((), bool),
    }

    def run(count):
        mesh = devices.make_mesh(count)
        whole, cut = devices.replicated(mesh), devices.sharded(mesh)
        ring = jax.tree.map(
            lambda sharding, part: devices.put(part, sharding),
            shardings(mesh),
            make_ring(like, 16),
        )
        # As in a run, whose programs say where the ring is.
        adding = jax.jit(add, out_shardings=shardings(mesh))
        drawing = jax.jit(sample.__wrapped__, static_argnums=(2, 3, 4), out_shardings=cut)
        random = np.random.default_rng(0)
        with jax.set_mesh(mesh):
            for call in range(calls):
                number = np.arange(2 * call, 2 * call + 2, dtype=np.int32)
                seen = random.normal(size=(2, 3)).astype(np.float32)
                rows = {"number": number, "seen": seen, "ended": number % 3 == 0}
                ring = adding(ring, devices.put(rows, whole))
            return ring, drawing(ring, jax.random.key(0), 64, 3, 2)

    (ring, drawn), (parts, others) = run(1), run(8)
    assert {shard.data.shape for shard in parts.rows["seen"].addressable_shards} == {(2, 3)}
    for one, eight in zip(
        jax.tree.leaves((ring, drawn)), jax.tree.leaves((parts, others)), strict=True
    ):
        assert one.dtype == eight.dtype
        np.testing.assert_array_equal(one, eight)
    np.testing.assert_array_equal(np.diff(others["number"], axis=1), 2)
    np.testing.assert_array_equal(others["ended"], np.asarray(others["number"]) % 3 == 0)
    assert {shard.data.shape[0] for shard in others["number"].addressable_shards} == {8}


def test_devices_exchange_a_minibatch_and_not_the_ring():
    mesh = devices.make_mesh(8)
    like = jax.ShapeDtypeStruct((50_000, 3), jnp.float32, sharding=devices.sharded(mesh))
    ring = dataclasses.replace(
        shardings(mesh),
        rows=like,
        added=jax.ShapeDtypeStruct((), jnp.int32, sharding=devices.replicated(mesh)),
    )
    program = jax.jit(sample.__wrapped__, static_argnums=(2, 3, 4))
    with jax.set_mesh(mesh):
        text = program.lower(ring, jax.random.key(0), 16, 1, 1).compile().as_text()
    assert "reduce-scatter" in text
    assert "all-gather" not in text
    assert "[50000" not in text


def with_priorities(calls, values):
    """A ring of 8 places after some rows, and the priorities of those that it holds, by number."""
    ring = filled(8, 1, calls)
    held = np.zeros(8, np.float32)
    for number, value in values.items():
        held[number % 8] = value
    return Priorities(jnp.asarray(held), jnp.array(max(values.values()))), ring


@pytest.mark.parametrize("calls", [5, 8, 13])
def test_rows_are_drawn_in_proportion_to_their_priorities(calls):
    numbers = range(max(0, calls - 8), calls)
    values = {number: 1.0 + number % 3 for number in numbers}
    priorities, ring = with_priorities(calls, values)
    drawn, weights = map(np.asarray, BY_PRIORITY(priorities, ring, jax.random.key(0), 6000, 0.5))
    total = sum(values.values())
    for number, value in values.items():
        # One draw from each of 6000 equal parts leaves an error of two.
        assert abs(np.sum(drawn == number) - 6000 * value / total) <= 2
    expected = np.array([(len(values) * values[each] / total) ** -0.5 for each in drawn])
    np.testing.assert_allclose(weights, expected / expected.max(), rtol=1e-5)


@pytest.mark.parametrize("calls", [3, 4, 7])
def test_prioritised_windows_never_cross_the_newest_row(calls):
    ring = filled(8, 2, calls)
    priorities = Priorities(jnp.full(8, 0.3), jnp.array(0.3))
    drawn, weights = BY_PRIORITY(priorities, ring, jax.random.key(1), 400, 1.0, 3, 2)
    oldest = max(0, 2 * calls - 8)
    assert sorted(set(drawn.tolist())) == list(range(oldest, 2 * calls - 4))
    np.testing.assert_allclose(weights, 1.0, rtol=1e-5)


def test_new_rows_get_the_highest_priority_and_errors_the_power_of_their_size():
    ring, priorities = filled(4, 1, 3), make_priorities(4)
    priorities = update_priorities(priorities, jnp.array([1, 2, 1]), jnp.array([9.0, -4, 9]), 0.5)
    np.testing.assert_allclose(priorities.values, [0, 3, 2, 0], rtol=1e-6)
    assert float(priorities.highest) == pytest.approx(3)
    priorities = add_priorities(priorities, ring, 1)
    np.testing.assert_allclose(priorities.values, [0, 3, 2, 3], rtol=1e-6)
    # The next row takes the place of the oldest one, and a small error does not lower the highest.
    ring = ADD(ring, {"number": np.array([3], np.int32)})
    priorities = update_priorities(priorities, jnp.array([3]), jnp.array([0.25]), 0.5)
    priorities = add_priorities(priorities, ring, 1)
    np.testing.assert_allclose(priorities.values, [3, 3, 2, 0.5], rtol=1e-5)
    equal = update_priorities(priorities, jnp.arange(4), jnp.array([1.0, 2, 3, 0]), 0.0)
    assert equal.values.tolist() == [1, 1, 1, 1]
