"""Rounds of jaxgan as the benchmarks make them, and the times of functions that take turns.

Whatever else uses the machine then slows all of them down alike. Import this module before PyTorch
and before jax starts, so that the two can share a GPU.
"""

import os
import statistics
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

# PyTorch and jax share a GPU, and idle threads of PyTorch must not take a CPU from jax.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import recipes
from jaxgan.core import devices
from jaxgan.core.timer import Timer

SEEDS = 8
"""How many seeds in one program are compared with one."""

Figures = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)


class Loop:
    """jaxgan's rounds of a config.

    Args:
        config: the config of the run.
    """

    def __init__(self, config: ConfigDict) -> None:
        self.config = config
        self.recipe: Any = recipes.make(config, devices.make_mesh(1))
        self.state = self.recipe.init(jax.random.key(config.seed))
        self.rounds = 0

    def parameters(self) -> int:
        """Returns how many parameters the networks of one seed have."""
        leaves = jax.tree.leaves([player.params for player in self.state.players.values()])
        return sum(leaf.size for leaf in leaves) // self.config.get("seeds", 1)

    def updates(self) -> int:
        """Returns how many updates have been made so far."""
        return int(self.state.step)

    def round(self) -> None:
        """Trains for a round and waits for it."""
        self.rounds += 1
        self.state, _, metrics = self.recipe.round(self.state, (), self.rounds, Timer())
        jax.block_until_ready(self.state)
        assert all(map(np.isfinite, metrics.values()))


def warm(loops: Collection[Loop]) -> float:
    """Makes a round of every loop, which compiles the programs of all of them at the same time.

    Returns:
        The seconds that this took.
    """
    began = time.perf_counter()
    with ThreadPoolExecutor(len(loops)) as pool:
        list(pool.map(Loop.round, loops))
    return time.perf_counter() - began


class Times(NamedTuple):
    """How long a call took.

    Attributes:
        wall: seconds.
        cpu: seconds of CPU time of this process.
    """

    wall: float
    cpu: float


def timed(call: Callable[[], object]) -> Times:
    """Returns how long a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def take_turns(
    calls: Mapping[Key, Callable[[], object]], repeats: int, limit: float
) -> Iterator[dict[Key, list[Times]]]:
    """Calls every function once a turn.

    Args:
        calls: the functions.
        repeats: the most turns.
        limit: when to stop, in seconds of time.perf_counter. The first turn is made in any case,
            and a later one if it would end before the limit.

    Yields:
        After each turn, the times of all calls so far.
    """
    times: dict[Key, list[Times]] = {name: [] for name in calls}
    for _ in range(repeats):
        began = time.perf_counter()
        for name, call in calls.items():
            times[name].append(timed(call))
        took = time.perf_counter() - began
        yield times
        if time.perf_counter() + took > limit:
            return


def seeds_beside_one(
    make_config: Callable[[int], ConfigDict], repeats: int, limit: float
) -> Iterator[Figures]:
    """Compares the rounds of several seeds in one program with those of one seed.

    Args:
        make_config: returns the config for a number of seeds.
        repeats: as `take_turns`, like the limit.
        limit: does not include compilation.

    Yields:
        The figures so far: after compilation, and after each turn. The ratios are medians over the
        turns.
    """
    loops = {count: Loop(make_config(count)) for count in (1, SEEDS)}
    found: Figures = {
        "steps of a round": loops[1].config.steps_per_round,
        "batch": loops[1].config.batch_size,
        "seconds of the first rounds, with compilation": warm(loops.values()),
    }
    yield found
    calls = {count: loop.round for count, loop in loops.items()}
    for times in take_turns(calls, repeats, limit):
        pairs = list(zip(times[SEEDS], times[1], strict=True))
        ratios = [several.wall / one.wall for several, one in pairs]
        yield found | {
            **{
                f"seeds={count}: seconds of a round": statistics.median(each.wall for each in rows)
                for count, rows in times.items()
            },
            f"time of {SEEDS} seeds over that of one": statistics.median(ratios),
            f"CPU time of {SEEDS} seeds over that of one": statistics.median(
                several.cpu / one.cpu for several, one in pairs
            ),
            "repeats": ratios,
        }
