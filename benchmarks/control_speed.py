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
import functools
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import turns
from ml_collections import ConfigDict
from turns import SEEDS, Loop

from jaxgan.core import config as configs

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = 10
STEPS = {"dqn": 10_000, "ppo": 10_240}
"""Environment steps of one repeat. PPO plays eight rollouts of 1280 steps."""
CHANGES = {
    # DQN learns in every repeat, and not only after 10,000 steps.
    "dqn": {"learning_starts": 1000},
    # A rollout of 128 steps in ten environments, and four minibatches of it.
    "ppo": {"batch_size": 320, "annealing_steps": 512_000},
}


def config_of(system: str, seeds: int = 1) -> ConfigDict:
    """Returns the config of a system with ten environments, whose round is a repeat."""
    config = configs.load(str(ROOT / "configs" / f"{system}.py"))
    sizes = {"environments": ENVIRONMENTS, "steps_per_round": STEPS[system], "seeds": seeds}
    config.update(sizes)
    config.update(CHANGES[system])
    return config


def against_torch(system: str, repeats: int) -> list[str]:
    """Returns the lines of the table of a system.

    Raises:
        RuntimeError: the two did not make the same number of updates.
    """
    from torch_control import TorchDQN, TorchPPO  # here: the configs are used without PyTorch too

    ours, steps = Loop(config_of(system)), STEPS[system]
    ours.round()
    makers: dict[str, Callable[[ConfigDict], TorchDQN | TorchPPO]]
    makers = {"dqn": TorchDQN, "ppo": TorchPPO}
    theirs = makers[system](config_of(system))
    theirs.play(2 * steps)
    ours.round()
    before = ours.updates() - theirs.updates
    calls: dict[str, Callable[[], object]]
    calls = {"jaxgan": ours.round, "torch": functools.partial(theirs.play, steps)}
    *_, times = turns.take_turns(calls, repeats, limit=math.inf)
    more = ours.updates() - theirs.updates - before
    if more:
        raise RuntimeError(f"jaxgan made {more} updates more than PyTorch")
    rows = []
    for number, kind in enumerate(("steps a second", "steps a CPU second")):
        rates = [steps / statistics.median(each[number] for each in times[name]) for name in calls]
        rows.append(
            f"| {system} | {kind} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[0] / rates[1]:.1f} |"
        )
    return rows


def of_seeds(system: str, repeats: int) -> str:
    """Returns the line of the table of seeds."""
    make_config = functools.partial(config_of, system)
    *_, found = turns.seeds_beside_one(make_config, repeats, limit=math.inf)
    wall, cpu = (
        found[f"{kind} of {SEEDS} seeds over that of one"] for kind in ("time", "CPU time")
    )
    return f"| {system} | {wall:.2f} | {cpu:.2f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, torch {torch.__version__}\n")
    print("| system | | jaxgan | PyTorch | ratio |\n|---|---|---|---|---|")
    for system in STEPS:
        print("\n".join(against_torch(system, options.repeats)), flush=True)
    print(f"\n| {SEEDS} seeds over 1 | time | CPU time |\n|---|---|---|")
    for system in STEPS:
        print(of_seeds(system, options.repeats), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
