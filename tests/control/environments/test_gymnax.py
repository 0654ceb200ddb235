"""Environments of gymnax, which a small module with the same interface replaces.

gymnax requires jax < 0.12, so the tests do not need it; benchmarks/control_table.py trains in it.
"""

import dataclasses
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from configs.ppo import get_config
from jaxgan.control.environments.environment import advance, begin
from jaxgan.control.environments.named import make_environment
from jaxgan.control.systems import ppo
from jaxgan.core import devices
from jaxgan.core.errors import UserError


@struct.dataclass
class Params:
    max_steps_in_episode: int = 4


@struct.dataclass
class State:
    time: int
    goal: jax.Array
    terminal: bool


class Walk:
    """The action 1 of three reaches the goal. As in gymnax, some first values are Python's."""

    def action_space(self, params):
        return types.SimpleNamespace(n=3)

    def _observe(self, state):
        board = jnp.zeros((2, 5, 1), bool)
        return board.at[state.goal, state.time, 0].set(True)

    def reset_env(self, key, params):
        state = State(0, jax.random.randint(key, (), 0, 2), False)
        return self._observe(state), state

    def step_env(self, key, state, action, params):
        terminated = action == 1
        state = state.replace(time=state.time + 1, terminal=terminated)
        return self._observe(state), state, jnp.int32(2) * terminated, terminated, {}

    def step(self, *arguments):
        raise AssertionError("it starts the next episode by itself")


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    def make(name):
        made = Walk()
        if name == "Continuous":
            made.action_space = lambda params: types.SimpleNamespace(low=-1, high=1)
        elif name != "Walk":
            raise ValueError(f"{name} is not registered")
        return made, Params()

    monkeypatch.setitem(sys.modules, "gymnax", types.SimpleNamespace(make=make))


def test_termination_and_truncation_are_apart_and_the_final_observation_is_kept():
    walk = make_environment("gymnax:Walk")
    assert (walk.actions, walk.limit) == (3, 4)

    @jax.jit
    def episode(actions):
        def step(episode, action):
            return advance(walk, episode, action, jax.random.key(1))

        return jax.lax.scan(step, begin(walk, jax.random.key(0)), actions)

    for actions, terminated, truncated in [
        ([0, 2, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]),
        ([0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]),
    ]:
        _, outcomes = episode(jnp.array(actions))
        made = outcomes.transition
        assert made.terminated.tolist() == [bool(each) for each in terminated]
        assert made.truncated.tolist() == [bool(each) for each in truncated]
        assert made.reward.tolist() == [2.0 * each for each in terminated]
        last = 1 + np.argmax(outcomes.ended)
        seen, following = (np.asarray(each).reshape(5, 2, 5) for each in made[0:4:3])
        # The column of the only 1 is the time, which starts again after the final observation.
        times = seen.sum(axis=1).argmax(axis=1).tolist()
        assert times == [*range(last), *range(5 - last)]
        assert following.sum(axis=1).argmax(axis=1)[last - 1] == last


def test_a_step_of_ppo_in_gymnax_keeps_the_types_of_the_state():
    config = get_config("tiny")
    config.env = "gymnax:Walk"
    system = ppo.make_system(config)
    before = jax.eval_shape(lambda: ppo.initial(jax.random.key(0), system=system))
    after, _ = jax.eval_shape(lambda state: ppo.step(state, (), system=system), before)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), before) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), after
    )


def test_pictures_show_the_observation():
    walk = make_environment("gymnax:Walk")
    first = jax.device_get(walk.reset(jax.random.key(0)))
    picture = walk.draw(first)
    assert (picture.shape, picture.dtype) == ((32, 80, 3), np.uint8)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2
    flat = walk.draw(first._replace(observation=np.array([-1.0, 0.0, 1.0])))
    assert flat.shape == (16, 48, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nowhere", "config.env=gymnax:Nowhere: gymnax has no environment Nowhere"),
        ("Continuous", "config.env=gymnax:Continuous: it does not have a finite number of actions"),
    ],
)
def test_environments_that_cannot_be_used_are_refused(name, message):
    with pytest.raises(UserError) as error:
        make_environment(f"gymnax:{name}")
    assert str(error.value) == message


def test_without_gymnax_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    config = get_config("tiny")
    config.env = "gymnax:Walk"
    with pytest.raises(UserError, match="pip install 'jaxgan\\[gymnax\\]'"):
        ppo.make(config, devices.make_mesh(1))
    assert dataclasses.is_dataclass(make_environment("Catch"))  # which needs nothing
