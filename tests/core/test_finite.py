import math

import jax
import jax.numpy as jnp
import optax

from jaxgan.core import state
from jaxgan.core.finite import not_finite


def test_the_first_value_that_is_not_finite_is_named():
    params = {"dense": {"kernel": jnp.array([1.0, jnp.inf])}}
    whole = state.make_player({"params": {"bias": jnp.zeros(2)}}, optax.adam(1e-3))
    broken = state.make_player({"params": params}, optax.adam(1e-3))
    good = state.make_run_state(jax.random.key(0), {"d": whole})
    bad = state.make_run_state(jax.random.key(0), {"d": whole, "g": broken})
    assert not_finite({"d_loss": 1.0}, good) == ""
    assert not_finite({"d_loss": math.nan}, good) == "train/d_loss (nan)"
    assert not_finite({"d_loss": 1.0}, bad) == "players/g/params/dense/kernel"
    memory = {"k": jnp.float32(jnp.nan), "count": jnp.int32(3)}
    assert (
        not_finite({}, state.make_run_state(jax.random.key(0), {"d": whole}, memory)) == "memory/k"
    )
