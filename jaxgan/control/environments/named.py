"""Environments by name: the built-in ones, and those of gymnax."""

import functools
from collections.abc import Callable, Mapping

from jaxgan.control.environments.acrobot import ACROBOT
from jaxgan.control.environments.cartpole import CARTPOLE
from jaxgan.control.environments.catch import CATCH
from jaxgan.control.environments.environment import Environment
from jaxgan.control.environments.gymnax import of_gymnax
from jaxgan.control.environments.tabular import corridor_tables, environment, random_tables
from jaxgan.core.errors import UserError


def corridor(actions: int) -> Environment:
    """Returns the corridor; the shortest way to its end has 67 steps."""
    return environment(corridor_tables(actions), limit=500)


def random_process() -> Environment:
    """Returns a random process with 10 states, 3 actions and 3 next states of each."""
    return environment(random_tables(10, 3, 3, seed=0), limit=100)


ENVIRONMENTS: Mapping[str, Callable[[], Environment]] = {
    "CartPole-v1": lambda: CARTPOLE,
    "Acrobot-v1": lambda: ACROBOT,
    "Catch": lambda: CATCH,
    "Corridor-5": functools.partial(corridor, 5),
    "Corridor-10": functools.partial(corridor, 10),
    "Corridor-20": functools.partial(corridor, 20),
    "Random": random_process,
}
"""The built-in environments. A corridor's name says how many actions it has."""
GYMNAX = "gymnax:"
"""The prefix of the name of an environment of gymnax."""


def make_environment(name: str) -> Environment:
    """Returns an environment.

    Args:
        name: a key of `ENVIRONMENTS`, or `GYMNAX` and a name of gymnax.

    Raises:
        UserError: there is none of that name, or gymnax is missing.
    """
    if name.startswith(GYMNAX):
        return of_gymnax(name.removeprefix(GYMNAX))
    if name not in ENVIRONMENTS:
        known = ", ".join(ENVIRONMENTS)
        raise UserError(f"config.env={name}: choose one of {known}, or {GYMNAX}NAME")
    return ENVIRONMENTS[name]()
