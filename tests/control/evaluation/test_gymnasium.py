"""A policy in Gymnasium's CartPole-v1 and in jaxgan's."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.control.environments.named import make_environment
from jaxgan.control.evaluation.episodes import measure, play
from jaxgan.control.evaluation.gymnasium import play_in_gymnasium
from jaxgan.core.errors import UserError

CARTPOLE = make_environment("CartPole-v1")


@jax.jit
def towards_the_fall(observations):
    """Pushes the cart in the direction in which the pole falls."""
    angle, spin = observations[:, 2], observations[:, 3]
    return jnp.stack([-(angle + 0.3 * spin), angle + 0.3 * spin], axis=-1)


@jax.jit
def always_right(observations):
    return jnp.broadcast_to(jnp.array([0.0, 7.0]), (len(observations), 2))


def test_returns_are_those_of_our_environment():
    """The starts differ, but a pole whose cart is always pushed falls within 8 to 11 steps."""
    theirs = play_in_gymnasium("CartPole-v1", CARTPOLE, always_right, seed=0, count=200)
    ours = jax.jit(lambda key: play(CARTPOLE, always_right, key, 200))(jax.random.key(0))
    assert set(theirs.lengths.tolist()) == {8, 9, 10, 11}
    assert abs(float(measure(theirs)["eval/return"] - measure(ours)["eval/return"])) < 0.3
    assert (theirs.returns == theirs.lengths).all()
    np.testing.assert_array_equal(theirs.highest, np.where(theirs.playing, 7.0, 0.0))


def test_an_episode_that_gymnasium_truncates_ends():
    played = play_in_gymnasium("CartPole-v1", CARTPOLE, towards_the_fall, seed=3, count=2)
    assert played.lengths.tolist() == [500, 500]
    again = play_in_gymnasium("CartPole-v1", CARTPOLE, towards_the_fall, seed=3, count=2)
    np.testing.assert_array_equal(played.rewards, again.rewards)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CartPole-v99", "--data=gymnasium:CartPole-v99: "),
        ("Acrobot-v1", "--data=gymnasium:Acrobot-v1: its actions are Discrete(3)"),
        ("Pendulum-v1", "--data=gymnasium:Pendulum-v1: its actions are Box"),
        ("FrozenLake-v1", "--data=gymnasium:FrozenLake-v1: its actions are Discrete(4)"),
    ],
)
def test_environments_that_do_not_fit_are_refused(name, message):
    with pytest.raises(UserError) as error:
        play_in_gymnasium(name, CARTPOLE, always_right, seed=0, count=1)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_without_gymnasium_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match="pip install 'jaxgan\\[control\\]'"):
        play_in_gymnasium("CartPole-v1", CARTPOLE, always_right, seed=0, count=1)
