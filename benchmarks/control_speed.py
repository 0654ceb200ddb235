"""Compares the speed of DQN and PPO in jaxgan with the same in PyTorch, as CleanRL writes it.

    pip install -e ".[benchmarks,control]"
    python benchmarks/control_speed.py [--repeats=5] [--threads=1]

Both play CartPole-v1 with ten environments and make the same number of updates of networks of the
same size (torch_control.py). They take turns; a repeat is about 10,000 steps of all environments
together. The table has the median number of steps a second, and steps a second of CPU time, which
other work on the machine changes less. PyTorch has one thread by default: with networks this small
more threads only wait for each other. jaxgan compiles before the first repeat.

A second table has the time of a repeat with eight seeds in one program over that with one.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import torch
from ml_collections import ConfigDict
from torch_control import TorchDQN, TorchPPO

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.timer import Timer

ROOT = Path(__file__).parents[1]
ENVIRONMENTS, SEEDS = 10, 8
STEPS = {"dqn": 10_000, "ppo": 10_240}
"""Environment steps of one repeat. PPO plays eight rollouts of 1280 steps."""
CHANGES = {
    # DQN learns in every repeat, and not only after 10,000 steps.
    "dqn": {"learning_starts": 1000},
    # A rollout of 128 steps in ten environments, and four minibatches of it.
    "ppo": {"batch_size": 320, "annealing_steps": 512_000},
}
TORCH: Mapping[str, type[TorchDQN] | type[TorchPPO]] = {"dqn": TorchDQN, "ppo": TorchPPO}

Times = tuple[float, float]
"""Seconds, and seconds of CPU time."""


def config_of(system: str, seeds: int = 1) -> ConfigDict:
    """Returns the config of a system with ten environments, whose round is a repeat."""
    config = configs.load(str(ROOT / "configs" / f"{system}.py"))
    sizes = {"environments": ENVIRONMENTS, "steps_per_round": STEPS[system], "seeds": seeds}
    config.update(sizes)
    config.update(CHANGES[system])
    return config


def timed(action: Callable[[], object]) -> Times:
    """Returns how long an action takes."""
    start = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def trainer(system: str, seeds: int = 1) -> Callable[[], int]:
    """Returns a function that trains a round in jaxgan and returns the updates so far."""
    config = config_of(system, seeds)
    recipe = recipes.make(config, devices.make_mesh(1))
    state, number = recipe.init(jax.random.key(config.seed)), 0

    def train() -> int:
        nonlocal state, number
        number += 1
        state, _, _ = recipe.round(state, (), number, Timer())
        return int(jax.block_until_ready(state.step))

    train()
    return train


def alternately(actions: Sequence[Callable[[], object]], repeats: int) -> list[Times]:
    """Returns the median times of actions that take turns."""
    rows = [[timed(action) for action in actions] for _ in range(repeats)]
    return [
        (statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times))
        for times in zip(*rows, strict=True)
    ]


def against_torch(system: str, repeats: int) -> list[str]:
    """Returns the lines of the table of a system.

    Raises:
        RuntimeError: the two did not make the same number of updates.
    """
    ours, steps = trainer(system), STEPS[system]
    theirs = TORCH[system](config_of(system))
    theirs.play(2 * steps)
    before = ours() - theirs.updates
    found = alternately([ours, lambda: theirs.play(steps)], repeats)
    theirs.play(steps)
    more = ours() - theirs.updates - before
    if more:
        raise RuntimeError(f"jaxgan made {more} updates more than PyTorch")
    rates = [[steps / seconds for seconds in times] for times in found]
    ratios = [ours / theirs for ours, theirs in zip(*rates, strict=True)]
    return [
        f"| {system} | {kind} | {rates[0][row]:,.0f} | {rates[1][row]:,.0f} | {ratios[row]:.1f} |"
        for row, kind in enumerate(("steps a second", "steps a CPU second"))
    ]


def of_seeds(system: str, repeats: int) -> list[str]:
    """Returns the line of the table of seeds."""
    one, several = alternately([trainer(system), trainer(system, SEEDS)], repeats)
    ratios = [many / single for many, single in zip(several, one, strict=True)]
    return [f"| {system} | {ratios[0]:.2f} | {ratios[1]:.2f} |"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, torch {torch.__version__}\n")
    print("| system | | jaxgan | PyTorch | ratio |\n|---|---|---|---|---|")
    for system in TORCH:
        print("\n".join(against_torch(system, options.repeats)), flush=True)
    print(f"\n| {SEEDS} seeds over 1 | time | CPU time |\n|---|---|---|")
    for system in TORCH:
        print("\n".join(of_seeds(system, options.repeats)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
