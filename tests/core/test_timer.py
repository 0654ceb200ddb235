import time

import jax
import jax.numpy as jnp
import pytest

from jaxgan.core.timer import Compilations, Timer


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
