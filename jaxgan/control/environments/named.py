"""The names of the built-in environments."""

import functools
from collections.abc import Callable, Mapping

from jaxgan.control.environments.acrobot import ACROBOT
from jaxgan.control.environments.cartpole import CARTPOLE
from jaxgan.control.environments.catch import CATCH
from jaxgan.control.environments.environment import Environment
from jaxgan.control.environments.tabular import corridor_tables, environment, random_tables


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
"""The values of `config.env`. A corridor's name says how many actions it has."""
