"""CartPole-v1 and Acrobot-v1 against trajectories of Gymnasium (benchmarks/control_golden.py)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.environments.named import ENVIRONMENTS

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
NAMES = ["CartPole-v1", "Acrobot-v1", "Acrobot-v1, the goal"]
# The 40 and 60 steps of a whole trajectory multiply the rounding of float32.
ALONE, TOGETHER = 2e-6, 2e-4


def stored(name):
    return ENVIRONMENTS[name.split(",")[0]](), GOLDEN[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_step_equals_gymnasiums(name):
    environment, golden = stored(name)
    states, actions = np.array(golden["states"]), jnp.array(golden["actions"])
    step = jax.jit(jax.vmap(environment.step, (0, 0, None)))
    found, rewards, terminated = step(
        jnp.asarray(states[:-1], jnp.float32), actions, jax.random.key(0)
    )
    np.testing.assert_allclose(found, states[1:], rtol=ALONE, atol=ALONE)
    assert rewards.tolist() == golden["rewards"]
    assert terminated.tolist() == golden["terminated"]


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_stays_near_gymnasiums(name):
    environment, golden = stored(name)

    def step(state, action):
        state, _, terminated = environment.step(state, action, jax.random.key(0))
        return state, (state, terminated)

    first = jnp.array(golden["states"][0], jnp.float32)
    _, (states, terminated) = jax.jit(
        lambda: jax.lax.scan(step, first, jnp.array(golden["actions"]))
    )()
    np.testing.assert_allclose(states, golden["states"][1:], rtol=TOGETHER, atol=TOGETHER)
    assert terminated.tolist() == golden["terminated"]


@pytest.mark.parametrize("name", NAMES[:2])
def test_observations_equal_gymnasiums(name):
    environment, golden = stored(name)
    found = jax.vmap(environment.observe)(jnp.array(golden["states"], jnp.float32))
    np.testing.assert_allclose(found, golden["observations"], rtol=ALONE, atol=ALONE)


@pytest.mark.parametrize(("name", "bound"), [("CartPole-v1", 0.05), ("Acrobot-v1", 0.1)])
def test_starts_are_uniform_within_gymnasiums_bounds(name, bound):
    keys = jax.random.split(jax.random.key(0), 4000)
    states = np.asarray(jax.jit(jax.vmap(ENVIRONMENTS[name]().reset))(keys))
    assert np.abs(states).max() <= bound
    np.testing.assert_allclose(np.mean(states, axis=0), 0, atol=0.05 * bound)
    np.testing.assert_allclose(np.std(states, axis=0), bound / np.sqrt(3), rtol=0.05)
