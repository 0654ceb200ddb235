"""Catch: a ball falls down a board, and a paddle in the lowest row has to be where it lands.

The board has 10 rows and 5 columns, as in bsuite (Osband et al. 2020). A policy that ignores the
ball catches it in one column of five, a return of -0.6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.control.environments.environment import Environment

ROWS, COLUMNS = 10, 5
PIXELS = 16  # of a cell in a picture


class Board(NamedTuple):
    """The state.

    Attributes:
        row: int32 [], of the ball, from 0 at the top.
        column: int32 [], of the ball.
        paddle: int32 [], the column of the paddle.
    """

    row: jax.Array
    column: jax.Array
    paddle: jax.Array


def reset(key: jax.Array) -> Board:
    """Returns a board with the ball in a random column of the highest row."""
    column = jax.random.randint(key, (), 0, COLUMNS)
    return Board(jnp.zeros((), jnp.int32), column, jnp.full((), COLUMNS // 2, jnp.int32))


def step(state: Board, action: jax.Array, key: jax.Array) -> tuple[Board, jax.Array, jax.Array]:
    """Moves the paddle to the left (0), not at all (1) or to the right (2), and the ball down.

    Returns:
        The state; the reward, 1 or -1 for the last step and 0 before; whether the ball has landed.
    """
    del key
    paddle = jnp.clip(state.paddle + action - 1, 0, COLUMNS - 1).astype(jnp.int32)
    state = Board(state.row + 1, state.column, paddle)
    landed = state.row == ROWS - 1
    caught = jnp.where(state.column == state.paddle, 1.0, -1.0)
    return state, jnp.where(landed, caught, 0.0), landed


def observe(state: Board) -> jax.Array:
    """Returns the board, float32 [50]: 1 where the ball and the paddle are."""
    board = jnp.zeros((ROWS, COLUMNS)).at[state.row, state.column].set(1.0)
    return board.at[ROWS - 1, state.paddle].set(1.0).ravel()


def draw(state: Board) -> np.ndarray:
    """Returns a picture of the board, uint8 [160, 80, 3]."""
    board = np.full((ROWS, COLUMNS, 3), 255, np.uint8)
    board[ROWS - 1, state.paddle] = (0, 0, 0)
    board[state.row, state.column] = (200, 30, 30)
    return np.kron(board, np.ones((PIXELS, PIXELS, 1), np.uint8))


# The ball lands after 9 steps, so the limit is never reached first.
CATCH = Environment(3, ROWS, reset, step, observe, draw)
