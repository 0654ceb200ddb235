import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods.ring import add, make_ring, sample

ADD = jax.jit(add)
SAMPLE = jax.jit(sample, static_argnums=(2, 3, 4))


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
    drawn = SAMPLE(ring, jax.random.key(0), 8000)["number"]
    assert drawn.shape == (8000, 1)
    numbers, counts = np.unique(drawn, return_counts=True)
    held = min(calls, 8)
    assert numbers.tolist() == list(range(calls - held, calls))
    np.testing.assert_allclose(counts / 8000, 1 / held, atol=0.02)


@pytest.mark.parametrize("calls", [3, 4, 7])
def test_windows_continue_a_sequence_and_never_cross_the_newest_row(calls):
    ring = filled(8, 2, calls)  # two sequences: the even and the odd numbers
    drawn = np.asarray(SAMPLE(ring, jax.random.key(1), 2000, 3, 2)["number"])
    np.testing.assert_array_equal(np.diff(drawn, axis=1), 2)
    oldest = max(0, 2 * calls - 8)
    assert sorted(set(drawn[:, 0].tolist())) == list(range(oldest, 2 * calls - 4))


def test_the_capacity_is_a_multiple_of_the_rows():
    ring = make_ring(jnp.zeros(3), 8)
    with pytest.raises(ValueError, match="a ring of 8 rows cannot take 3 at a time"):
        add(ring, jnp.zeros((3, 3)))
