import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images import history_pool

SHAPE = (1, 1, 1)


def play(batch_size, capacity, steps):
    """What is shown and the pool after each step; fresh image i of step t is 10 t + i."""
    pool = history_pool.make_pool(batch_size, capacity, SHAPE)
    exchange, shown, pools = jax.jit(history_pool.exchange), [], []
    for step in range(1, steps + 1):
        fresh = (10.0 * step + jnp.arange(batch_size))[:, None, None, None]
        images, pool = exchange(pool, fresh, jax.random.key(step))
        shown.append(np.ravel(images))
        pools.append(np.asarray(pool.images)[..., 0, 0, 0])
    return np.array(shown), np.array(pools), pool


def test_fresh_images_are_shown_and_kept_until_the_pool_is_full():
    shown, pools, pool = play(2, 6, 3)
    np.testing.assert_array_equal(shown, [[10, 11], [20, 21], [30, 31]])
    np.testing.assert_array_equal(pools[-1], [[10, 20, 30], [11, 21, 31]])
    assert pool.filled == 3


def test_then_half_of_the_images_are_earlier_ones_whose_place_the_fresh_ones_take():
    steps = 200
    shown, pools, _ = play(1, 4, steps)
    earlier = 0
    for step in range(4, steps):
        fresh, before, after = 10.0 * (step + 1), pools[step - 1][0], pools[step][0]
        if shown[step] == fresh:
            np.testing.assert_array_equal(after, before)
        else:
            earlier += 1
            [place] = np.flatnonzero(before == shown[step])
            assert after[place] == fresh
            np.testing.assert_array_equal(np.delete(after, place), np.delete(before, place))
    assert 70 < earlier < 126  # binomial of 196 draws, 4 standard deviations


def test_a_row_only_meets_its_own_earlier_images():
    shown, pools, _ = play(3, 6, 40)
    np.testing.assert_array_equal(shown % 10, np.tile([0, 1, 2], (40, 1)))
    np.testing.assert_array_equal(pools[-1] % 10, [[0, 0], [1, 1], [2, 2]])


def test_a_pool_of_nothing_shows_fresh_images():
    shown, *_ = play(2, 0, 3)
    np.testing.assert_array_equal(shown, [[10, 11], [20, 21], [30, 31]])


def test_a_pool_that_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match=r"config.pool=50: must be a multiple of config.batch_size"):
        history_pool.make_pool(8, 50, SHAPE)
