"""Environments of gymnax 1.x (Lange 2022), which are written in JAX.

Needs gymnax: `pip install 'jaxgan[gymnax]'`. It requires jax < 0.12, so nothing else needs it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.control.environments.environment import Environment
from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree

PIXELS = 16
"""The width and height of a cell in a picture."""
COLOURS = np.array([(200, 30, 30), (0, 0, 0), (120, 160, 220), (202, 152, 101), (30, 140, 60)])
"""The colours in which pictures show the channels of an observation; more channels repeat them."""


class Observed(NamedTuple):
    """The state. gymnax computes some observations from more than its own state.

    Attributes:
        state: the state of gymnax.
        observation: float32 [...], in gymnax's shape.
    """

    state: PyTree
    observation: jax.Array


def of_gymnax(name: str) -> Environment:
    """Returns an environment of gymnax with its default parameters.

    gymnax's own `step` starts the next episode by itself. This uses `step_env`, which does not, so
    termination and truncation are separate, and an episode's final observation is kept, as in the
    built-in environments. Observations are flattened.

    Args:
        name: such as Breakout-MinAtar.

    Raises:
        UserError: gymnax is missing, has no such environment, or its actions have no numbers.
    """
    gymnax = _gymnax(name)
    try:
        made, params = gymnax.make(name)
    except ValueError as error:
        raise UserError(f"config.env=gymnax:{name}: gymnax has no environment {name}") from error
    space = made.action_space(params)
    if not hasattr(space, "n"):
        raise UserError(f"config.env=gymnax:{name}: it does not have a finite number of actions")

    def step(
        state: Observed, action: jax.Array, key: jax.Array
    ) -> tuple[Observed, jax.Array, jax.Array]:
        found = made.step_env(key, state.state, action, params)
        observation, following, reward, terminated, _ = found
        return Observed(following, _float(observation)), _float(reward), jnp.asarray(terminated)

    def reset(key: jax.Array) -> Observed:
        observation, state = made.reset_env(key, params)
        first = Observed(state, _float(observation))
        # gymnax starts some counters as Python numbers; a compiled loop needs the types of a step.
        after = jax.eval_shape(lambda: step(first, jnp.zeros((), jnp.int32), key)[0])
        return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), first, after)

    return Environment(
        actions=int(space.n),
        limit=int(params.max_steps_in_episode),
        reset=reset,
        step=step,
        observe=lambda state: state.observation.ravel(),
        draw=lambda state: _picture(np.asarray(state.observation)),
    )


def _gymnax(name: str) -> Any:
    try:
        import gymnax
    except ImportError as error:
        raise UserError(
            f"config.env=gymnax:{name} needs gymnax ({error}): pip install 'jaxgan[gymnax]'"
        ) from error
    return gymnax


def _float(value: Any) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def _picture(observation: np.ndarray) -> np.ndarray:
    """Returns a picture of an observation [H, W, C], or of any other one as rows of grey cells."""
    if observation.ndim == 3:
        board = np.full((*observation.shape[:2], 3), 255, np.uint8)
        for channel in range(observation.shape[2]):
            board[observation[..., channel] > 0] = COLOURS[channel % len(COLOURS)]
    else:
        cells = np.atleast_2d(observation).reshape(-1, observation.shape[-1])
        grey = 255 * (0.5 - 0.5 * np.tanh(cells))
        board = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    return np.kron(board, np.ones((PIXELS, PIXELS, 1), np.uint8))
