import contextlib
import time
from concurrent import futures

import jax
import jax.numpy as jnp
import pytest

from jaxgan.core.timer import WAITED, Compilations, Timer


def test_parts_add_up_until_they_are_taken():
    begun = []
    timer = Timer(begun.append)
    for name in ("a", "b", "a"):
        with timer.part(name):
            time.sleep(0.01)
    seconds = timer.take()
    assert begun == ["a", "b", "a"]
    assert seconds["a"] >= 0.02
    assert 0.01 <= seconds["b"] < seconds["a"]
    assert timer.take() == {}


def test_a_part_that_raises_counts():
    timer = Timer()
    with pytest.raises(ValueError, match="x"), timer.part("a"):
        raise ValueError("x")
    assert timer.take()["a"] > 0


def test_the_wait_for_compilations_is_that_of_the_training_thread():
    with contextlib.closing(Compilations()) as compilations:
        assert compilations.take_wait() == 0
        time.sleep(0.03)
        started = time.perf_counter()
        jax.monitoring.record_event_duration_secs(WAITED, 0.02)
        with futures.ThreadPoolExecutor(1) as pool:  # another thread does not keep training waiting
            pool.submit(jax.monitoring.record_event_duration_secs, WAITED, 0.02).result()
        assert compilations.take_wait() == pytest.approx(0.02, abs=1e-9)
        assert compilations.take_wait() == 0
        # Events within events count once, and nothing before the last call counts.
        for _ in range(3):
            jax.monitoring.record_event_duration_secs(WAITED, 60.0)
        assert 0 < compilations.take_wait() <= time.perf_counter() - started
        jax.jit(lambda x: x * 5)(jnp.ones(5))
        wait, (_, seconds) = compilations.take_wait(), compilations.take()
        assert wait >= 0.9 * seconds > 0


def test_compilations_are_counted_until_closed():
    x, y = jnp.ones(3), jnp.ones(4)
    compilations = Compilations()
    square = jax.jit(lambda x: x * x)
    square(x)
    square(x)
    count, seconds = compilations.take()
    assert count == 1
    assert seconds > 0
    square(y)
    assert compilations.take()[0] == 1
    assert compilations.take() == (0, 0.0)
    compilations.close()
    jax.jit(lambda x: x + x)(x)
    assert compilations.take() == (0, 0.0)
