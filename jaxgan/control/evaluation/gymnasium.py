"""Episodes that a trained agent plays in an environment of Gymnasium, on the host.

Needs Gymnasium: `pip install 'jaxgan[control]'`.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgan.control.environments.environment import Environment, observation_size
from jaxgan.control.evaluation.episodes import Played, Preferences
from jaxgan.core.errors import UserError


def play_in_gymnasium(
    name: str, trained_in: Environment, preferences: Preferences, seed: int, count: int
) -> Played:
    """Plays the preferred action in every state, in `count` copies of an environment at a time.

    Observations are flattened. An episode ends where Gymnasium terminates or truncates it.

    Args:
        name: the name of Gymnasium's environment, such as CartPole-v1.
        trained_in: what the agent was trained in. It needs the same observations and actions.
        preferences: the preferences of the agent; compiled.
        seed: the seed of the first copy; the others follow it.
        count: the number of episodes.

    Returns:
        The episodes as NumPy arrays, without states.

    Raises:
        UserError: Gymnasium is missing, has no such environment, or it does not fit the agent.
    """
    gymnasium = _gymnasium()
    try:
        copies = [gymnasium.make(name) for _ in range(count)]
    except gymnasium.error.Error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--data=gymnasium:{name}: {reason}") from error
    _check(name, copies[0], trained_in)
    pairs = zip(copies, range(seed, seed + count), strict=True)
    observations = [np.ravel(copy.reset(seed=number)[0]) for copy, number in pairs]
    playing = np.ones(count, bool)
    rows = []
    while playing.any():
        given = jnp.asarray(np.stack(observations), jnp.float32)
        found = np.asarray(preferences(given))
        rewards = np.zeros(count, np.float32)
        before = playing.copy()
        for place in np.flatnonzero(playing):
            action = int(found[place].argmax())
            observed, reward, terminated, truncated, _ = copies[place].step(action)
            observations[place], rewards[place] = np.ravel(observed), reward
            playing[place] = not (terminated or truncated)
        rows.append((rewards, np.where(before, found.max(axis=1), 0.0), before))
    for copy in copies:
        copy.close()
    rewards, highest, played = (np.stack(each) for each in zip(*rows, strict=True))
    return Played((), rewards, highest, played)  # type: ignore[arg-type]


def _check(name: str, copy: Any, trained_in: Environment) -> None:
    """Raises UserError unless an agent that was trained elsewhere can play in this environment."""
    size = observation_size(trained_in)
    actions, shape = getattr(copy.action_space, "n", None), copy.observation_space.shape
    if actions != trained_in.actions or shape is None or math.prod(shape) != size:
        raise UserError(
            f"--data=gymnasium:{name}: its actions are {copy.action_space} and its observations "
            f"{copy.observation_space}; the agent knows {trained_in.actions} actions and "
            f"{size} numbers"
        )


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise UserError(
            f"--data=gymnasium:NAME needs Gymnasium ({error}): pip install 'jaxgan[control]'"
        ) from error
    return gymnasium
