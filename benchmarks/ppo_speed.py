"""Compares the cost of an update of mask_ppo with that of a supervised update.

    python benchmarks/ppo_speed.py [--rows=8] [--seconds=4] [--repeats=9]
        [--config=configs/mask_ppo.py:quick] [--config.key=value ...]

A supervised update is one of mask_regression. All updates are on the same random batch with the
same network. Acting is what an update of mask_ppo needs besides its inner updates: the policy and
the base enhance the batch with K + 1 masks. Computing the rewards is left out. Prints the medians
of CPU seconds and of wall seconds; the programs take turns, so that other load on the machine hits
all of them.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.scores import device
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.systems import mask_ppo, mask_regression

VARIANTS = (
    {"samples": 1, "noise_block.frames": 1, "noise_block.bins": 1},
    {"samples": 8, "noise_block.frames": 1, "noise_block.bins": 1},
    {"samples": 1},
    {"samples": 4},
    {"samples": 8},
)
"""Changes of the config, which are compared."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="configs/mask_ppo.py:quick", metavar="FILE[:PRESET]")
    parser.add_argument("--rows", type=int, default=8, help="utterances in the batch (default 8)")
    parser.add_argument("--seconds", type=int, default=4, help="of an utterance (default 4)")
    parser.add_argument("--repeats", type=int, default=9, help="of every program (default 9)")
    options, overrides = parser.parse_known_args(arguments)
    devices.start()
    batch = random_batch(options.rows, options.seconds * SAMPLE_RATE)
    config = configs.load(options.config, overrides)
    programs = {"supervised": supervised(config, batch)}
    for changes in VARIANTS:
        changed = config.copy_and_resolve_references()
        changed.update_from_flattened_dict(changes)
        block = changed.noise_block
        name = f"K = {changed.samples}, block {block.frames or 'all'} x {block.bins or 'all'}"
        programs[f"{name}, acting"], programs[f"{name}, inner update"] = policy(changed, batch)
    seconds = measure(programs, options.repeats)
    whole = seconds["supervised"]
    print(f"{'':45} {'CPU ms':>8} {'wall ms':>8} {'of supervised':>14}")
    for name, (cpu, wall) in seconds.items():
        print(f"{name:45} {1e3 * cpu:8.0f} {1e3 * wall:8.0f} {cpu / whole[0]:14.2f}")


def random_batch(rows: int, samples: int) -> Batch:
    """Returns a batch of noise without padding."""
    random = np.random.default_rng(0)
    clean, noisy = random.integers(-8000, 8000, (2, rows, samples)).astype(np.int16)
    fields = clean, noisy, np.full(rows, samples, np.int32), np.arange(rows), np.ones(rows)
    return Batch(*map(jnp.asarray, fields))


def supervised(config: ConfigDict, batch: Batch) -> Callable[[], Any]:
    """Returns a function that makes a supervised update."""
    optimizer = adam(config, config.generator_learning_rate)
    system = mask_regression.System(make_masking(config), "l1", optimizer, config.average_decay)
    state = mask_regression.init(jax.random.key(0), system=system)
    step = jax.jit(functools.partial(mask_regression.step, system=system))
    return lambda: step(state, batch)


def policy(config: ConfigDict, batch: Batch) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Returns a function that acts, and one that makes an inner update."""
    system = mask_ppo.make_system(config, device.si_sdr)
    state = mask_ppo.init(jax.random.key(0), system=system)
    act = jax.jit(functools.partial(mask_ppo.act, system=system))
    step = jax.jit(functools.partial(mask_ppo.step, system=system))
    actions, enhanced = act(state, batch, jnp.int32(0))
    rewards = jax.random.normal(jax.random.key(1), (len(enhanced.lengths), 1))
    experience = mask_ppo.Experience(batch, actions, rewards)
    return lambda: act(state, batch, jnp.int32(0)), lambda: step(state, experience)


def measure(programs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Returns the medians of each program's CPU seconds and wall seconds, without compilation."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(repeats + 1):
        for name, program in programs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(program())
            found[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: (
            statistics.median(c for c, _ in pairs[1:]),
            statistics.median(w for _, w in pairs[1:]),
        )
        for name, pairs in found.items()
    }


if __name__ == "__main__":
    main()
