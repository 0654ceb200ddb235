"""Measures what the dual-path network costs: parameters, arithmetic, compiling, and CPU time.

    taskset -c 0 python benchmarks/dual_path.py [--config.KEY=VALUE ...]

Each row is a preset of configs/enhancer.py with the given changes. Seconds are CPU time for a
second of speech at batch 1 (enhancement) and 4 (the gradient of an update without the scores), the
median of `REPEATS` runs on speech of 4 s. Multiplications are those that XLA counts.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import config as configs
from jaxgan.speech.networks.dual_path import enhance, init_network, make_network
from jaxgan.speech.networks.stft import FrontEnd

CONFIG = Path(__file__).parents[1] / "configs" / "enhancer.py"
SECONDS, REPEATS = 4, 9


def main(arguments: Sequence[str]) -> None:
    """Prints one row for each preset."""
    print("preset | parameters | multiplications/s | compile s | enhance | compile s | update")
    for preset in ("", ":quick"):
        config = configs.load(f"{CONFIG}{preset}", arguments)
        network, front_end = make_network(config), FrontEnd(**config.front_end)
        init = jax.jit(lambda key, n=network, f=front_end: init_network(n, f, key)["params"])
        params = init(jax.random.key(0))

        def made(params: Any, noisy: jax.Array, n: Any = network, f: Any = front_end) -> jax.Array:
            return enhance(n, f, params, noisy, jnp.full(len(noisy), noisy.shape[1]))

        def loss(params: Any, noisy: jax.Array, made: Callable[..., Any] = made) -> jax.Array:
            return jnp.sum(made(params, noisy) ** 2)

        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        flops, *of_enhancing = measure(made, params, 1)
        _, *of_update = measure(jax.grad(loss), params, 4)
        cells = [f"{count:,}", f"{flops / 2 / SECONDS / 1e6:.0f} M"]
        cells += [f"{value:.3f}" for value in (*of_enhancing, *of_update)]
        print(" | ".join([preset.lstrip(":") or "default", *cells]), flush=True)


def measure(function: Callable[..., Any], params: Any, rows: int) -> tuple[float, float, float]:
    """Returns operations, seconds to compile, and CPU seconds for a second of speech."""
    samples = SECONDS * 16000
    noisy = np.random.default_rng(0).normal(0, 0.1, (rows, samples)).astype(np.float32)
    started = time.process_time()
    program = jax.jit(function).lower(params, noisy).compile()
    compiling = time.process_time() - started
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        jax.block_until_ready(program(params, noisy))
        seconds.append(time.process_time() - started)
    cost: Any = program.cost_analysis()
    return cost["flops"], compiling, statistics.median(seconds) / SECONDS / rows


if __name__ == "__main__":
    main(sys.argv[1:])
