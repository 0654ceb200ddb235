"""Environments with few states, whose optimal values are known: any tables, and the corridor."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.control.environments.environment import Environment

LEFT, RIGHT, UP, DOWN, NOTHING = range(5)
"""The actions of the corridor; more actions do nothing, either."""
VERTICAL, HORIZONTAL = 10, 50
"""States of each vertical and of the horizontal section of the corridor (Wang et al. 2016)."""
PIXELS = 6  # of a state in a picture


class Tables(NamedTuple):
    """A Markov decision process with S states and A actions.

    Attributes:
        next_states: float64 [S, A, S], the probability of each next state.
        rewards: float64 [S, A, S], of each change.
        terminal: bool [S], the states that end an episode.
        start: the state in which episodes start.
        places: int [S, 2], the row and column of each state in pictures.
    """

    next_states: np.ndarray
    rewards: np.ndarray
    terminal: np.ndarray
    start: int
    places: np.ndarray


def environment(tables: Tables, limit: int) -> Environment:
    """Returns the environment of tables. An observation is the state's unit vector, float32 [S].

    Args:
        tables: the tables of the process.
        limit: the most steps of an episode.
    """
    count, actions, _ = tables.next_states.shape
    rewards = np.asarray(tables.rewards, np.float32)
    with np.errstate(divide="ignore"):
        logits = np.log(tables.next_states).astype(np.float32)
    rows, columns = tables.places.max(axis=0) + 1

    def reset(key: jax.Array) -> jax.Array:
        del key
        return jnp.full((), tables.start, jnp.int32)

    def step(
        state: jax.Array, action: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        found = jax.random.categorical(key, jnp.asarray(logits)[state, action]).astype(jnp.int32)
        return (
            found,
            jnp.asarray(rewards)[state, action, found],
            jnp.asarray(tables.terminal)[found],
        )

    def draw(state: np.ndarray) -> np.ndarray:
        board = np.full((rows, columns, 3), 255, np.uint8)
        board[tuple(tables.places.T)] = (210, 210, 210)
        board[tuple(tables.places[state])] = (200, 30, 30)
        return np.kron(board, np.ones((PIXELS, PIXELS, 1), np.uint8))

    return Environment(
        actions, limit, reset, step, lambda state: jax.nn.one_hot(state, count), draw
    )


def optimal_values(tables: Tables, discount: float, sweeps: int = 10_000) -> np.ndarray:
    """Returns the optimal action values by value iteration, float64 [S, A].

    Those of terminal states are zero.

    Args:
        tables: the tables of the process.
        discount: the discount of rewards one step later, below 1.
        sweeps: the most iterations; the error shrinks by `discount` in each.
    """
    expected = (tables.next_states * tables.rewards).sum(axis=-1)
    values = np.zeros_like(expected)
    for _ in range(sweeps):
        best = np.where(tables.terminal, 0.0, values.max(axis=-1))
        before, values = values, expected + discount * tables.next_states @ best
        values[tables.terminal] = 0.0
        if np.abs(values - before).max() < 1e-12:
            break
    return values


def random_tables(states: int, actions: int, branches: int, seed: int) -> Tables:
    """Returns a random process (a Garnet, Archibald et al. 1995); its last state is terminal.

    Args:
        states: S.
        actions: A.
        branches: how many next states an action in a state can have.
        seed: the seed of the tables.
    """
    random = np.random.default_rng(seed)
    next_states = np.zeros((states, actions, states))
    for state, action in np.ndindex(states, actions):
        chosen = random.choice(states, branches, replace=False)
        next_states[state, action, chosen] = random.dirichlet(np.ones(branches))
    terminal = np.arange(states) == states - 1
    places = np.stack([np.zeros(states, int), np.arange(states)], axis=1)
    rewards = random.normal(size=next_states.shape)
    return Tables(next_states, rewards, terminal, 0, places)


def corridor_tables(actions: int = 5) -> Tables:
    """Returns the corridor of Wang et al. (2016), section 4.1.

    Two vertical sections are connected by a horizontal one. An episode starts at the bottom of the
    left one, and ends with the reward 1 at the top of the right one. The actions lead to the left,
    to the right, up, down, or nowhere. Walls stop them.

    Args:
        actions: 5 or more; the paper has 5, 10 and 20, and all from the fifth on do nothing.
    """
    top = VERTICAL - 1
    places = (
        [(2 * top - step, 0) for step in range(VERTICAL)]
        + [(top, step) for step in range(1, HORIZONTAL - 1)]
        + [(top - step, HORIZONTAL - 1) for step in range(VERTICAL)]
    )
    number = {place: index for index, place in enumerate(places)}
    moves = {LEFT: (0, -1), RIGHT: (0, 1), UP: (-1, 0), DOWN: (1, 0)}
    next_states = np.zeros((len(places), actions, len(places)))
    for (row, column), state in number.items():
        for action in range(actions):
            down, right = moves.get(action, (0, 0))
            next_states[state, action, number.get((row + down, column + right), state)] = 1.0
    terminal = np.arange(len(places)) == len(places) - 1
    rewards = np.broadcast_to(terminal.astype(float), next_states.shape)
    return Tables(next_states, rewards, terminal, 0, np.array(places))
