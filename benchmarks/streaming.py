"""Measures how long a stream takes for each hop of 16 ms, on one core of a CPU.

    taskset -c 0 python benchmarks/streaming.py [--config=configs/metricgan_plus.py:causal]
                                                [--seconds=60]

The parameters are untrained; the time does not depend on their values. The real-time factor is the
time that enhancing takes, divided by the duration of the audio; it is given in seconds of the clock
and of the processor, which differ if other programs use the core.
"""

import argparse
import time

import jax
import numpy as np

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.speech.arrays import ArrayEnhancer
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.enhancer import Enhancer
from jaxgan.speech.networks.masking import init_generator, make_denoiser, make_masking


def main() -> None:
    """Prints the latency of a hop and the real-time factor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/metricgan_plus.py:causal")
    parser.add_argument("--seconds", type=float, default=60.0)
    flags = parser.parse_args()
    config = configs.load(flags.config)
    params = init_generator(make_masking(config), jax.random.key(0))["params"]
    mesh = devices.make_mesh(1)
    stream = ArrayEnhancer(Enhancer(config, make_denoiser(config), params, mesh)).stream()
    hop = config.front_end.hop
    count = int(flags.seconds * SAMPLE_RATE / hop)
    samples = np.random.default_rng(0).integers(-3000, 3000, (count, hop), np.int16)
    spent = np.empty(count)
    processor = time.process_time()
    for number, block in enumerate(samples):
        begun = time.perf_counter()
        stream.push(block)
        spent[number] = time.perf_counter() - begun
    processor = time.process_time() - processor
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    median, late, worst = 1000 * np.quantile(spent, [0.5, 0.99, 1])
    print(
        f"{flags.config}: {parameters:,} parameters, {count} hops of {1000 * hop / SAMPLE_RATE} ms"
    )
    print(f"a hop: median {median:.2f} ms, 99 % below {late:.2f} ms, at most {worst:.2f} ms")
    audio = count * hop / SAMPLE_RATE
    print(f"real-time factor: {spent.sum() / audio:.3f}, of processor time {processor / audio:.3f}")
    print(f"algorithmic latency: {1000 * stream.latency / SAMPLE_RATE:.0f} ms")


if __name__ == "__main__":
    main()
